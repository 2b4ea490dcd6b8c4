"""Forms made from a list of fields, which show at its field what the API refuses."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from nicegui import ui
from nicegui.element import Element

from imsg_console.client import ApiError
from imsg_console.texts import Texts
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog, draw_choice, remove
from imsg_console.widgets.elements import act_in_page, attrs, element, redraw
from imsg_console.widgets.fields import Check, choice_field, read_whole, text_field, whole_field
from imsg_console.widgets.notices import notice

REASONS: Mapping[str, str] = {"username_taken": "username", "no_such_user": "username"}
"""Reason of a refusal → the field that it is about, where its sentence names none."""

Kind = Literal["text", "secret", "lines", "date", "whole", "choice", "choices", "switch"]

_NAMED = re.compile(r"^(?:参数 )?([a-z0-9_.]+)(?: (?=[^ -~])|(?= ))")
"""The field at the beginning of a refusal's sentence. In Chinese the space after it goes with the English name."""

_WHOLE = re.compile(r"参数 settings 不正确：|settings is not right: ")
"""How the refusal of several fields of an account together begins."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form."""

    name: str
    """As the API names it."""
    label: str
    value: Any = ""
    kind: Kind = "text"
    """`choices` gives a list of the options that are ticked; `whole` an int, or None where the field is empty; `date`
    a day such as `2027-01-31`, or an empty text. A `secret` is not shown while it is typed.
    """
    hint: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    """Value → label, of a `choice` or `choices`."""
    empty: str = ""
    """What is wrong where a text is empty, or none of the `choices` is ticked, in a sentence; empty: nothing."""
    check: Check | None = None
    """What is wrong with a text that is not empty; where the field has no `empty`, also with one that is."""
    max_length: int = 0
    """The most characters; 0: any number."""
    placeholder: str = ""


class FieldMaker:
    """Makes the fields of a form by the names of the API.

    A field has the value of its name and the label `TEXTSNAME`, such as `keys.name`. Where the catalogue has them, its
    hint is `TEXTSNAME_hint`, and where it is empty, `TEXTSNAME_missing` is wrong with it.
    """

    def __init__(self, t: Texts, texts: str, values: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._t, self._texts, self._values = t, texts, values

    def __call__(self, name: str, kind: Kind = "text", **more: Any) -> Field:  # noqa: ANN401  as Field has them
        """Make a field."""
        t, key = self._t, f"{self._texts}{name}"
        usual = {"hint": t.get(f"{key}_hint", ""), "empty": t.get(f"{key}_missing", "")}
        return Field(name, t(key), self._values.get(name, ""), kind, **usual | more)


@dataclass(frozen=True, slots=True)
class Part:
    """Fields below a title of their own."""

    title: str
    fields: Sequence[Field]
    text: str = ""
    folded: bool = False
    """Whether few need them: a click on the title shows them."""


def locate_error(t: Texts, error: ApiError, labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the field that a refusal is about, and its sentence with the field's label; else "" and the sentence."""
    sentence = error.detail or t("layout.unreachable")
    if (whole := _WHOLE.match(sentence)) is not None:
        why = sentence[whole.end() :]
        return "", why[:1].upper() + why[1:]
    named = _NAMED.match(sentence)
    if named is None or named[1] not in labels:
        return REASONS.get(error.reason, ""), sentence
    label = labels[named[1]]
    gap = " " if named[0].endswith(" ") and label[-1].isascii() else ""
    return named[1], f"{label}{gap}{sentence[named.end() :]}"


class Form:
    """Draws the fields where it is made."""

    def __init__(self, t: Texts, parts: Sequence[Field | Part]) -> None:
        self._t = t
        self._fields: dict[str, Field] = {}
        self._inputs: dict[str, Any] = {}
        self._folds: list[tuple[ui.expansion, Part]] = []
        loose = [part for part in parts if isinstance(part, Field)]
        if loose:
            self._draw_fields(loose)
        for part in parts:
            if isinstance(part, Part):
                with self._draw_part(part):
                    if part.text:
                        element("p", "muted", part.text)
                    self._draw_fields(part.fields)
        self._error = element("div", "form-trouble")

    def input(self, name: str) -> Any:  # noqa: ANN401  the field's element of NiceGUI
        """Return the element of a field."""
        return self._inputs[name]

    def read(self) -> dict[str, Any]:
        """Return the value of each field that is shown."""
        return {
            name: self._read(self._fields[name]) for name, field_input in self._inputs.items() if _is_shown(field_input)
        }

    def is_valid(self) -> bool:
        """Check every field; the first wrong one gets the cursor."""
        self._error.clear()
        wrong = [
            name
            for name, field_input in self._inputs.items()
            if hasattr(field_input, "validate") and _is_shown(field_input) and not field_input.validate()
        ]
        if wrong:
            self._unfold(wrong)
            self._inputs[wrong[0]].run_method("focus")
            return False
        for choices in self._fields.values():
            if choices.kind == "choices" and choices.empty and not self._read(choices):
                self.show_sentence(choices.empty)
                return False
        return True

    def show_error(self, error: ApiError) -> None:
        """Show what the API refuses: at its field where it names one, else above the buttons."""
        name, sentence = locate_error(
            self._t, error, {name: form_field.label for name, form_field in self._fields.items()}
        )
        self._error.clear()
        self._unfold([name])
        made = self._inputs.get(name)
        if made is not None and not isinstance(made, dict):  # choices are several elements
            attrs(made, error=True, error_message=sentence)
            made.run_method("focus")
            made.on_value_change(lambda: attrs(made, error=False))
        else:
            self.show_sentence(sentence)

    def show_sentence(self, sentence: str) -> None:
        """Show what is wrong, above the buttons."""
        with redraw(self._error):
            notice(sentence, "bad")
        # A form is higher than a phone.
        place = f"document.getElementById('{self._error.html_id}')"
        ui.run_javascript(f"{place}?.scrollIntoView({{block: 'center'}})")

    def _draw_part(self, part: Part) -> Element:
        if part.folded:
            fold = ui.expansion(part.title).props("dense")
            self._folds.append((fold, part))
            return fold
        made = element("fieldset", "stack tight")
        with made:
            element("legend", "", part.title)
        return made

    def _unfold(self, names: Collection[str]) -> None:
        """Show the folded parts with one of these fields."""
        for fold, part in self._folds:
            if any(folded.name in names for folded in part.fields):
                fold.open()

    def _draw_fields(self, fields: Sequence[Field]) -> None:
        with element("div", "form-grid"):
            for field in fields:
                self._fields[field.name] = field
                self._inputs[field.name] = self._draw(field)

    def _draw(self, field: Field) -> Any:  # noqa: ANN401  an element of NiceGUI
        match field.kind:
            case "whole":
                return whole_field(field.label, field.value, hint=field.hint, check=_make_check(field))
            case "secret" | "date":
                kind = "password" if field.kind == "secret" else "date"
                drawn = text_field(field.label, field.value, hint=field.hint, check=_make_check(field), kind=kind)
                if kind == "date":
                    drawn.props("stack-label max=9999-12-31")
                else:
                    attrs(drawn, autocomplete="new-password")
                return drawn
            case "choice":
                made = choice_field(field.label, field.options, field.value)
                return attrs(made, hint=field.hint) if field.hint else made
            case "switch":
                with ui.column().classes("tight"):
                    switch = ui.switch(field.label, value=bool(field.value))
                    if field.hint:
                        element("span", "muted", field.hint)
                return switch
            case "choices":
                with element("fieldset", "stack tight"):
                    element("legend", "", field.label)
                    with element("div", "form-choices"):
                        return {
                            name: ui.checkbox(text, value=name in field.value) for name, text in field.options.items()
                        }
        check, lines = _make_check(field), field.kind == "lines"
        made_text = text_field(
            field.label, str(field.value or ""), hint=field.hint, check=check, max_length=field.max_length, lines=lines
        )
        return attrs(made_text, placeholder=field.placeholder) if field.placeholder else made_text

    def _read(self, field: Field) -> Any:  # noqa: ANN401  any JSON
        made = self._inputs[field.name]
        match field.kind:
            case "whole":
                return read_whole(made)
            case "choices":
                return [name for name, box in made.items() if box.value]
            case "secret":
                return str(made.value or "")
            case "text" | "lines" | "date":
                return str(made.value or "").strip()
        return made.value


def _make_check(field: Field) -> Check | None:
    if not field.empty:
        return field.check
    return lambda text: field.empty if not text.strip() else field.check(text) if field.check else ""


def _is_shown(made: object) -> bool:
    return bool(getattr(made, "visible", True))


async def ask_form(
    view: View,
    title: str,
    parts: Sequence[Field | Part],
    action: str,
    save: Callable[[Form], Awaitable[Any]] | None = None,
    *,
    text: str = "",
    wide: bool = False,
    danger: bool = False,
    prepare: Callable[[Form], object] = lambda _: None,
) -> Any:  # noqa: ANN401  what `save` returns
    """Show a form in a dialog; return what `save` returns, else the values; None where the dialog was closed.

    `save` runs once the fields are valid. While it returns None, or raises ApiError, the dialog stays. `prepare` may
    add to the form.
    """
    with dialog(title, wide=wide) as opened:
        if text:
            element("p", "", text)
        form = Form(view.t, parts)
        prepare(form)

        async def submit() -> None:
            if not form.is_valid():
                return
            try:
                result = form.read() if save is None else await save(form)
            except ApiError as error:
                form.show_error(error)
                return
            if result is not None:
                opened.submit(result)

        draw_choice(view, opened, action, submit, kind="danger" if danger else "main")
        for part in parts:
            if isinstance(part, Field) and part.kind in ("text", "whole"):
                form.input(part.name).on("keydown.enter", act_in_page(submit))
    result = await opened
    remove(opened)
    return result
