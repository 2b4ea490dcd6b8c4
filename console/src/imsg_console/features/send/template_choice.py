"""A template of the API in place of words: the choice of it, its language, and its params."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import background_tasks, ui

from imsg_console.client import ApiError, path
from imsg_console.features.send.content_form import Problem, clean, style_field
from imsg_console.layout import describe_error
from imsg_console.message.languages import name_language
from imsg_console.recipients.field_names import find_column
from imsg_console.recipients.recipient_reader import FoundRecipient
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import METHODS
from imsg_console.widgets.elements import attrs, live_text
from imsg_console.widgets.fields import choice_field

PATH = "/api/v2/templates"

OWN_WORDS = ""
"""The choice of no template."""


ALIKE = ""
"""The choice of no column: all recipients get the same value."""


@dataclass(frozen=True, slots=True)
class _Param:
    """A param of the template: a column that fills it for each person, or a text for all."""

    name: str
    is_required: bool
    column: ui.select
    text: ui.input

    @property
    def from_column(self) -> str:
        """The column; `ALIKE` where all get the same."""
        return str(self.column.value or ALIKE)

    @property
    def for_all(self) -> str:
        """What all get; empty where a column fills it."""
        return "" if self.from_column else clean(self.text.value).strip()

    def offer(self, columns: Mapping[str, str]) -> None:
        """Offer columns, name → title; one with the name of the param, or a synonym, is chosen."""
        kept = self.from_column
        if not kept or kept not in columns:
            kept = find_column(self.name, columns) or ALIKE
        self.column.set_options(dict(columns), value=kept)
        self.column.set_visibility(len(columns) > 1)
        self.show()

    def show(self) -> None:
        """Show the text where no column is chosen."""
        self.text.set_visibility(not self.from_column)


class TemplateChoice:
    """The fields; nothing of them shows where there is no published template of the method."""

    def __init__(self, view: View, templates: Sequence[Mapping[str, Any]], on_change: Callable[[], None]) -> None:
        """`templates` are all of GET /api/v2/templates."""
        self._view, self._t, self._on_change = view, view.t, on_change
        self._templates = [
            template for template in templates if template["from"] != "settings" and template["published"] is not None
        ]
        self._method = ""
        self._known: Mapping[str, Any] | None = None
        self._params: list[_Param] = []
        self._columns: Mapping[str, str] = {}
        """The columns of the recipients, each with an example."""
        self._first = FoundRecipient("")
        """The recipient whose message is previewed."""
        self._asked = 0
        self.shown: Mapping[str, Any] | None = None
        """The answer of POST …/preview to what is filled in; None where there is none."""
        t = self._t
        with ui.column() as self._place:
            self._choice = choice_field(t("send.saved_template"), {OWN_WORDS: t("send.own_words")}, OWN_WORDS)
            self._choice.on_value_change(self._choose)
            self._language = choice_field(t("send.language"), {"": ""}, "").on_value_change(self._change)
            self._fields = ui.column()
            self._hint = attrs(live_text("field-hint bad-text"), role="status")
        self._language.set_visibility(False)

    @property
    def name(self) -> str:
        """The chosen template; empty where a message has words of its own."""
        return str(self._choice.value or OWN_WORDS)

    @property
    def fields(self) -> dict[str, Any]:
        """What a send has of it."""
        language = {"language": self._language.value} if self._language.value else {}
        params = {param.name: text for param in self._params if (text := param.for_all)}
        return {"template": self.name, "params": params, **language}

    @property
    def draft(self) -> dict[str, Any]:
        """The content with the chosen columns, for `restore`."""
        return {
            **self.fields,
            "columns": {param.name: param.from_column for param in self._params if param.from_column},
        }

    @property
    def is_personal(self) -> bool:
        """Whether recipients get words of their own."""
        return any(param.from_column for param in self._params)

    @property
    def is_by_name(self) -> bool:
        """Whether the API fills it for members of groups as is chosen here: each param from the field of its name."""
        names = {param.name: param.from_column or param.name for param in self._params}
        return all(name == column for name, column in names.items()) and not any(
            param.name in self._columns for param in self._params if not param.from_column
        )

    def offer(self, people: Iterable[FoundRecipient]) -> None:
        """Offer the columns that people bring; the message of the first one is previewed."""
        columns: dict[str, str] = {}
        first = None
        for person in people:
            first = first or person
            for name, text in person.params.items():
                columns.setdefault(name, text)
        if (columns, first) == (self._columns, self._first):
            return
        self._columns, self._first = columns, first or FoundRecipient("")
        for param in self._params:
            param.offer(self._shown_columns)
        background_tasks.create(self._change(), name="template preview")

    @property
    def _shown_columns(self) -> Mapping[str, str]:
        t, shown = self._t, {ALIKE: self._t("send.param_alike")}
        for name, example in self._columns.items():
            title = t("send.column_number", n=name, example=line(example, 24))
            shown[name] = title if name.isdecimal() else t("send.param_column", name=line(name, 64))
        return shown

    def read_entry(self, recipient: FoundRecipient) -> str | dict[str, Any]:
        """Return an entry of `to`: a recipient with what the template takes of the columns."""
        own = self._read_own(recipient)
        if not self.name or not (own or recipient.language):
            return recipient.text
        return {"to": recipient.text, "params": own} | ({"language": recipient.language} if recipient.language else {})

    def _read_own(self, recipient: FoundRecipient) -> dict[str, str]:
        return {param.name: text for param in self._params if (text := recipient.params.get(param.from_column, ""))}

    def find_missing(self, people: Iterable[FoundRecipient]) -> list[tuple[FoundRecipient, list[str]]]:
        """Return the recipients whose columns lack what the template needs, and which these are."""
        needed = [param.from_column for param in self._params if param.is_required and param.from_column]
        missing = [(person, [name for name in needed if not person.params.get(name)]) for person in people]
        return [(person, names) for person, names in missing if names]

    def show_method(self, method: str) -> None:
        """Offer the templates of a method."""
        if method == self._method:
            return
        self._method = method
        names = [template["name"] for template in self._templates if method in self.find_methods(template["name"])]
        options = {OWN_WORDS: self._t("send.own_words")} | {name: line(name, 64) for name in names}
        self._choice.set_options(options, value=self.name if self.name in options else OWN_WORDS)
        self._place.set_visibility(bool(names))

    def find_methods(self, name: str) -> list[str]:
        """Return the methods that a template has words for."""
        languages = [
            has for template in self._templates if template["name"] == name for has in template["languages"].values()
        ]
        return [method for method in METHODS if any(method in has for has in languages)]

    def find_problems(self) -> Sequence[Problem]:
        """Return the params that are missing."""
        missing = [param for param in self._params if param.is_required and not (param.from_column or param.for_all)]
        return [(param.text, self._t("send.param_missing", name=line(param.name, 64))) for param in missing]

    async def preview(self, recipient: FoundRecipient) -> Mapping[str, Any]:
        """Return what a recipient would get. Raises ApiError."""
        params = self.fields["params"] | self._read_own(recipient)
        body = {"method": self._method, "params": params, "version": (self._known or {}).get("version")}
        if language := recipient.language or self._language.value:
            body["language"] = language
        answer: Mapping[str, Any] = await self._view.api.post(path(PATH, self.name, "preview"), body)
        return answer

    async def restore(self, kept: object) -> None:
        """Choose what `draft` was; whatever does not fit is left out."""
        fields = kept if isinstance(kept, dict) else {}
        name, params, columns = (fields.get(field) for field in ("template", "params", "columns"))
        if name not in self._choice.options or not name:
            return
        self._choice.set_value(name)
        await self._choose()
        params = params if isinstance(params, dict) else {}
        columns = columns if isinstance(columns, dict) else {}
        for param in self._params:
            param.text.set_value(str(params.get(param.name, "")))
            if (column := columns.get(param.name)) in param.column.options:
                param.column.set_value(column)
        if fields.get("language") in self._language.options:
            self._language.set_value(fields["language"])

    async def _choose(self) -> None:
        name = self.name
        if self._known is not None and self._known["name"] == name:
            return
        published = next((template["published"] for template in self._templates if template["name"] == name), None)
        known = await self._view.api.get(path(PATH, name), version=published) if name else None
        if name != self.name or (known is not None and known == self._known):
            return  # another was chosen meanwhile, or this one is drawn by now, and may be filled in
        self._known, self._params = known, []
        self._fields.clear()
        written = (known or {}).get("languages", {})
        languages = {tag: name_language(self._t, tag) for tag, methods in written.items() if self._method in methods}
        default = known["default_language"] if known else ""
        self._language.set_options(languages, value=default if default in languages else next(iter(languages), None))
        self._language.set_visibility(len(languages) > 1)
        with self._fields:
            for param in (known or {}).get("params", ()):
                self._params.append(self._draw_param(param))
        await self._change()

    def _draw_param(self, known: Mapping[str, Any]) -> _Param:
        title = line(known["name"], 64)
        with ui.column().classes("tight"):
            column = choice_field(self._t("send.param_source", name=title), {ALIKE: ""}, ALIKE).on_value_change(
                self._change
            )
            made = ui.input(title, on_change=self._change)
        style_field(made, "param")
        attrs(made, placeholder=line(known["example"] or "", 64))
        if known["max"]:
            made.props(f"counter maxlength={known['max']:d}")
        param = _Param(known["name"], known["required"], column.classes("param-column"), made)
        column.on_value_change(param.show)
        param.offer(self._shown_columns)
        return param

    async def _change(self) -> None:
        """Preview what is filled in; the answer to what was filled in last counts."""
        self._asked += 1
        number, problem = self._asked, ""
        answer = None
        if self.name:
            try:
                answer = await self.preview(self._first)
            except ApiError as error:
                problem = describe_error(self._t, error)
        if number != self._asked:
            return
        self.shown = answer
        self._hint.text = problem
        self._on_change()
