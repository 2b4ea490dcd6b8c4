"""The filters above a list of messages: statuses, spans of time, fields, and what is set as chips to take away."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from nicegui import ui

from imsg_channels import METHODS
from imsg_console.message.filters import STATUSES, Filters
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import attrs, button, element, live_text, redraw
from imsg_console.widgets.fields import choice_field, text_field

TYPED = "(event) => emit(event.target.value)"

TEXT_FIELDS = ("username", "key", "id", "code")

SPANS = ("today", "yesterday", "week", "month")

LATER = ("scheduled", "held")
"""Statuses of what is sent later: at its time, or in its window."""


def read_span(name: str, today: date) -> tuple[str, str]:
    """Return since and until of a span of whole days, as the fields have them; until is empty for one that goes on."""
    first, last = {
        "today": (today, None),
        "yesterday": (today - timedelta(days=1), today),
        "week": (today - timedelta(days=6), None),
        "month": (today.replace(day=1), None),
    }[name]
    return f"{first}T00:00", f"{last}T00:00" if last else ""


class FilterBar:
    """Draws the filters; `on_change` gets them whenever a person sets others."""

    def __init__(
        self,
        t: Texts,
        filters: Filters,
        zone: ZoneInfo,
        *,
        everybody: bool,
        on_change: Callable[[Filters], object],
        find_names: Callable[[str], Awaitable[Sequence[str]]],
    ) -> None:
        """`find_names` finds usernames by a part of one; with `everybody` there is a field for them."""
        self._t, self._zone, self._filters, self._everybody = t, zone, filters, everybody
        self._on_change, self._find_names = on_change, find_names
        self._is_showing = False
        self._inputs: dict[str, ui.input | ui.select | ui.textarea] = {}
        with attrs(element("search", "stack"), aria_label=t("messages.filters")):
            with ui.row().classes("filters-first"):
                self._draw_text("to")
                statuses = {"": t("messages.all")} | {status: t(f"words.status_{status}") for status in STATUSES}
                self._statuses = choice_field(t("messages.filter_status"), statuses, "", self._set_status)
                with attrs(element("div", "filters-spans"), role="group", aria_label=t("messages.filter_span")):
                    for name in SPANS:
                        chip = ui.chip(t(f"messages.span_{name}"), on_click=partial(self._set_span, name))
                        chip.props("outline").classes("filters-span")
                    waiting = ui.chip(t("messages.later"), on_click=partial(self._set, status=",".join(LATER)))
                    waiting.props("outline").classes("filters-later")
                self._toggle = button("", self._unfold, kind="quiet", symbol="tune")
                attrs(self._toggle, aria_expanded="false")
            with element("div", "filters-fields") as self._fields:
                self._draw_fields()
            self._names = attrs(ui.row().classes("filters-names"), role="group", aria_label=t("messages.names"))
            self._chips = ui.row()
            self._error = attrs(live_text("bad-text"), role="alert")
        self.show(filters)

    def show(self, filters: Filters) -> None:
        """Show the filters that are in force."""
        t, self._filters = self._t, filters
        self._is_showing = True  # a field that is set here was set by no person
        for name, made in self._inputs.items():
            made.set_value(getattr(filters, name))
        self._statuses.set_value(filters.status if filters.status in ("", *STATUSES) else None)
        self._is_showing = False
        chosen = {name: value for name, value in filters.set.items() if name != "status" or value not in STATUSES}
        self._toggle.set_text(t("messages.filters_set", n=len(chosen)) if chosen else t("messages.filters"))
        with redraw(self._chips):
            for name, value in chosen.items():
                self._draw_chip(name, value)
            if chosen:
                button(t("messages.clear"), lambda: self._on_change(Filters(status=filters.status)), kind="quiet")
        self._chips.set_visibility(bool(chosen))
        self.show_error("")

    def show_error(self, sentence: str) -> None:
        """Show what is wrong with a field; empty: nothing is."""
        self._error.text = sentence
        self._error.set_visibility(bool(sentence))

    def _set_span(self, name: str) -> object:
        since, until = read_span(name, datetime.now(self._zone).date())
        return self._set(since=since, until=until)

    def _draw_fields(self) -> None:
        t = self._t
        methods = {"": t("messages.any_method")} | {method: method_name(t, method) for method in METHODS}
        self._inputs["method"] = choice_field(t("messages.filter_method"), methods, "", self._set)
        for name in TEXT_FIELDS:
            if name != "username" or self._everybody:
                self._draw_text(name)
        if self._everybody:
            attrs(self._inputs["username"], debounce=300).on_value_change(self._offer_names)
        for name in ("since", "until"):
            made = text_field(t(f"messages.filter_{name}"), kind="datetime-local")
            self._add_input(name, made.props("stack-label max=9999-12-31T23:59"))
        button(t("messages.apply"), self._set, symbol="search")

    def _draw_text(self, name: str) -> None:
        made = text_field(self._t(f"messages.filter_{name}"), max_length=400).props("clearable")
        made.on("clear", partial(self._set, **{name: ""}))
        if hint := self._t.get(f"messages.filter_{name}_hint", ""):
            attrs(made, placeholder=hint)
        self._add_input(name, made)

    def _set_status(self) -> object:
        return self._set(status=str(self._statuses.value or ""))

    def _add_input(self, name: str, made: ui.input | ui.textarea) -> None:
        """Add a field that is applied on Enter; its text comes with the event, since its value may come later."""
        self._inputs[name] = made
        made.on("keydown.enter", lambda event: self._set(**{name: str(event.args or "")}), js_handler=TYPED)

    @property
    def _typed_name(self) -> str:
        return str(self._inputs["username"].value or "").strip()

    async def _offer_names(self) -> None:
        """Offer the usernames that hold what is typed: the filter takes a whole one."""
        part = self._typed_name
        names = await self._find_names(part) if part and part != self._filters.username else ()
        if part != self._typed_name:  # more was typed meanwhile, and its own answer may have come before
            return
        with redraw(self._names):
            for name in names:
                ui.chip(line(name, 64), color=None, on_click=partial(self._set, username=name)).classes(
                    "chip chip-info"
                )

    def _draw_chip(self, name: str, value: str) -> None:
        if name == "method":
            shown = method_name(self._t, value)
        elif name == "status":
            shown = " · ".join(self._t.get(f"words.status_{status}", status) for status in value.split(","))
        else:
            shown = line(value.replace("T", " "), 40)
        text = f"{self._t(f'messages.filter_{name}')} · {shown}"
        chip = ui.chip(text, icon="close", color=None, on_click=lambda: self._on_change(self._filters.without(name)))
        attrs(chip.classes("chip chip-info"), role="button", aria_label=f"{self._t('messages.lift')}{text}")

    def _unfold(self) -> None:
        is_open = "is-open" not in self._fields.classes
        self._fields.classes(add="is-open" if is_open else "", remove="" if is_open else "is-open")
        attrs(self._toggle, aria_expanded="true" if is_open else "false")

    def _set(self, **changed: str) -> object:
        """Apply what the fields hold, with what was just chosen. NiceGUI awaits what is returned."""
        if self._is_showing:
            return None
        typed = {name: str(made.value or "") for name, made in self._inputs.items()}
        values = {field.name: getattr(self._filters, field.name) for field in fields(Filters)} | typed | changed
        filters = Filters.of(values)
        return self._on_change(filters) if filters != self._filters else None
