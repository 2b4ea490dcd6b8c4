"""The filters above a listing: statuses as buttons, the rest as fields, what is set as chips that can be lifted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from nicegui import ui
from nicegui.events import GenericEventArguments

from imsg_channels import METHODS
from imsg_console.message.filters import STATUSES, Filters
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.widgets.chips import STATUSES as SYMBOLS
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import attrs, button, element, icon

TYPED = "(event) => emit(event.target.value)"

TEXT_FIELDS = ("to", "username", "id", "code")


SPANS = ("today", "yesterday", "week", "month")


def span(name: str, today: date) -> tuple[str, str]:
    """Return since and until of a span as the fields have them: whole days, the last one open where it goes on."""
    first, last = {
        "today": (today, None),
        "yesterday": (today - timedelta(days=1), today),
        "week": (today - timedelta(days=6), None),
        "month": (today.replace(day=1), None),
    }[name]
    return f"{first}T00:00", f"{last}T00:00" if last else ""


class FilterBar:
    """Draws the filters; `on_change` is told whenever somebody wants others."""

    def __init__(
        self,
        texts: Texts,
        filters: Filters,
        zone: ZoneInfo,
        *,
        everybody: bool,
        on_change: Callable[[Filters], object],
        find_names: Callable[[str], Awaitable[Sequence[str]]],
    ) -> None:
        """`find_names` finds usernames by a part of one, for whoever filters by them."""
        self._find_names = find_names
        self._zone = zone
        self._t = texts
        self._filters = filters
        self._everybody = everybody
        self._on_change = on_change
        self._is_showing = False
        self._inputs: dict[str, ui.input | ui.select] = {}
        self._statuses: dict[str, ui.element] = {}
        with attrs(
            element("div", "stack filters"),
            role="search",
            aria_label=texts("messages.filters"),
        ):
            self._draw_statuses()
            self._draw_spans()
            with element("div", "filters-more"):
                self._toggle = attrs(
                    button("", self._unfold, kind="quiet", symbol="tune").classes("filters-toggle"),
                    aria_expanded="false",
                )
                self._fields = element("div", "filters-fields")
                with self._fields:
                    self._draw_fields()
            self._names = attrs(element("div", "line filters-names"), role="group", aria_label=texts("messages.names"))
            self._chips = element("div", "line filters-chips")
            self._error = attrs(element("p", "filters-error"), role="alert")
        self.show(filters)

    def show(self, filters: Filters) -> None:
        """Show what is filtered by now."""
        self._filters = filters
        self._is_showing = True  # a field that is set here is nobody's wish
        for name, field in self._inputs.items():
            field.set_value(getattr(filters, name))
        self._is_showing = False
        for status, one in self._statuses.items():
            is_on = status in filters.statuses if status else not filters.statuses
            attrs(one, aria_pressed="true" if is_on else "false").update()
        chosen = {name: value for name, value in filters.set.items() if name != "status"}
        count = len(chosen)
        self._toggle.set_text(self._t("messages.filters_set", n=count) if count else self._t("messages.filters"))
        self._chips.clear()
        with self._chips:
            for name, value in chosen.items():
                self._draw_chip(name, value)
            if chosen:
                button(self._t("messages.clear"), self._clear, kind="quiet")
        self._chips.set_visibility(bool(chosen))
        self.complain("")

    def complain(self, sentence: str) -> None:
        """Say what is wrong with a field; empty: nothing is."""
        self._error.clear()
        with self._error:
            ui.label(sentence)
        self._error.set_visibility(bool(sentence))

    def _draw_statuses(self) -> None:
        with attrs(element("div", "line filters-statuses"), role="group", aria_label=self._t("messages.filter_status")):
            for status in ("", *STATUSES):
                name = self._t(f"words.status_{status}") if status else self._t("messages.all")
                one = attrs(element("button", "filters-status"), type="button", data_status=status)
                with one:
                    if status:
                        icon(SYMBOLS[status][0])
                    ui.label(name)
                one.on("click", lambda _, status=status: self._want(status=status))
                self._statuses[status] = one

    def _draw_spans(self) -> None:
        """Draw the spans of time that people ask for by name."""
        with attrs(element("div", "line filters-spans"), role="group", aria_label=self._t("messages.filter_span")):
            for name in SPANS:
                one = ui.chip(self._t(f"messages.span_{name}"), on_click=lambda name=name: self._take_span(name))
                one.props("outline").classes("filters-span")

    def _take_span(self, name: str) -> object:
        since, until = span(name, datetime.now(self._zone).date())
        return self._want(since=since, until=until)

    def _draw_fields(self) -> None:
        methods = {"": self._t("messages.any_method")} | {method: method_name(self._t, method) for method in METHODS}
        self._inputs["method"] = ui.select(
            methods,
            value=self._filters.method,
            label=self._t("messages.filter_method"),
            on_change=lambda event: self._want(method=event.value or ""),
        ).props("outlined dense options-dense")
        for name in TEXT_FIELDS:
            if name == "username" and not self._everybody:
                continue
            field = ui.input(self._t(f"messages.filter_{name}"), value=getattr(self._filters, name))
            field.props("outlined dense clearable maxlength=400 autocomplete=off spellcheck=false")
            self._on_enter(name, field)
            field.on("clear", lambda name=name: self._want(**{name: ""}))
            if hint := self._t.get(f"messages.filter_{name}_hint", ""):
                attrs(field, placeholder=hint)
            self._inputs[name] = field
            if name == "username":
                self._offer_names(field)
        for name in ("since", "until"):
            field = ui.input(self._t(f"messages.filter_{name}"), value=getattr(self._filters, name))
            field.props("outlined dense stack-label type=datetime-local max=9999-12-31T23:59")
            self._on_enter(name, field)
            self._inputs[name] = field
        button(self._t("messages.apply"), self._apply, symbol="search")

    def _offer_names(self, field: ui.input) -> None:
        """Offer the names that hold what is typed: the filter itself takes a whole one."""
        attrs(field, debounce=300)

        async def offer() -> None:
            part = str(field.value or "").strip()
            is_typed = bool(part) and part != self._filters.username
            names = await self._find_names(part) if is_typed else ()
            self._names.clear()
            with self._names:
                for name in names:
                    one = ui.chip(line(name, 64), color=None, on_click=lambda name=name: self._want(username=name))
                    one.classes("chip chip-info")

        field.on_value_change(offer)

    def _draw_chip(self, name: str, value: str) -> None:
        shown = method_name(self._t, value) if name == "method" else line(value.replace("T", " "), 40)
        label = self._t(f"messages.filter_{name}")
        chip = attrs(element("button", "filters-chip"), type="button")
        with chip:
            element("span", "unseen", self._t("messages.lift"))
            element("span", "filters-words", f"{label} · {shown}")
            icon("close")
        chip.on("click", lambda _, name=name: self._on_change(self._filters.without(name)))

    def _on_enter(self, name: str, field: ui.input) -> None:
        """Take what stands in the field when Enter is pressed: what was typed may still be on its way."""

        def enter(event: GenericEventArguments) -> object:
            return self._want(**{name: str(event.args or "")})

        field.on("keydown.enter", enter, js_handler=TYPED)

    def _unfold(self) -> None:
        is_open = "is-open" not in self._fields.classes
        self._fields.classes(add="is-open" if is_open else "", remove="" if is_open else "is-open")
        attrs(self._toggle, aria_expanded="true" if is_open else "false").update()

    def _clear(self) -> object:
        return self._on_change(Filters(status=self._filters.status))

    def _apply(self) -> object:
        return self._want()

    def _want(self, **changed: str) -> object:
        """Ask for what the fields say, with what was just chosen; what is returned is for NiceGUI to await."""
        if self._is_showing:
            return None
        given = {name: str(field.value or "") for name, field in self._inputs.items()}
        wanted = {one.name: getattr(self._filters, one.name) for one in fields(Filters)} | given | changed
        filters = Filters.of(wanted)
        return self._on_change(filters) if filters != self._filters else None
