"""Fields of a form: each with a label, a hint, and room for what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence

from nicegui import ui

from imsg_console.widgets.elements import attrs

Field = ui.input | ui.number | ui.select | ui.textarea

Check = Callable[[str], str]
"""What somebody has typed → what is wrong with it, in a sentence; empty: nothing."""


def text_field(
    label: str,
    value: str = "",
    *,
    hint: str = "",
    check: Check | None = None,
    most: int = 0,
    autocomplete: str = "off",
    kind: str = "text",
) -> ui.input:
    """Draw a field for a line of text; kind as HTML has it (`email`, `tel`, `search`, `password`)."""
    field = ui.input(label, value=value, validation=_wrap_check(check)).props(
        "outlined dense hide-bottom-space no-error-icon"
    )
    field.classes("field")
    attrs(field, autocomplete=autocomplete, type=kind, spellcheck="false")
    if most:
        attrs(field, maxlength=most)
    if hint:
        attrs(field, hint=hint)
    return field.without_auto_validation()


def whole_field(label: str, value: int | None, *, hint: str = "", check: Check | None = None) -> ui.input:
    """Draw a field for a whole number, read by `whole`. As text: a number field eats what it does not understand."""
    field = text_field(label, "" if value is None else str(value), hint=hint, check=check, most=9)
    return attrs(field, inputmode="numeric")


def choice_field(label: str, options: Mapping[str, str] | Sequence[str], value: str) -> ui.select:
    """Draw a choice of one."""
    chosen = ui.select(dict(options) if isinstance(options, Mapping) else list(options), label=label, value=value)
    return chosen.props("outlined dense options-dense hide-bottom-space").classes("field")


def whole(field: ui.input) -> int | None:
    """Read a whole number; None where the field is empty. Call it after `sound`."""
    text = str(field.value or "").strip()
    return int(text) if text else None


def sound(fields: Sequence[Field]) -> bool:
    """Check every field, and put the cursor into the first that is wrong."""
    wrong = [field for field in fields if not field.validate()]
    if wrong:
        wrong[0].run_method("focus")
    return not wrong


def _wrap_check(check: Check | None) -> Callable[[str], str | None] | None:
    if check is None:
        return None
    return lambda value: check(str(value or "")) or None
