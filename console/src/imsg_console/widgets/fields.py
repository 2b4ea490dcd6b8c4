"""Fields of forms: each with a label, a hint, and room for what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence

from nicegui import ui

from imsg_console.widgets.elements import attrs

Check = Callable[[str], str]
"""The text of a field → what is wrong with it, in a sentence; empty: nothing."""


def text_field(
    label: str,
    value: str = "",
    *,
    hint: str = "",
    check: Check | None = None,
    max_length: int = 0,
    kind: str = "text",
    lines: bool = False,
) -> ui.input | ui.textarea:
    """Draw a field for a line of text, or for several; kind as HTML has it (`search`, `password`)."""
    made = (ui.textarea if lines else ui.input)(label, value=value, validation=_wrap_check(check))
    made.props("outlined dense hide-bottom-space no-error-icon autocomplete=off spellcheck=false").classes("field")
    if lines:
        made.props("autogrow")
    else:
        attrs(made, type=kind)
    if max_length:
        attrs(made, maxlength=max_length)
    if hint:
        attrs(made, hint=hint)
    made.on_value_change(lambda: made.validate(return_result=False) if made.error else None)
    return made.without_auto_validation()


def search_field(
    label: str, value: str, on_change: Callable[[], object], *, max_length: int = 254
) -> ui.input | ui.textarea:
    """Draw a field that searches while the user types."""
    made = text_field(label, value, kind="search", max_length=max_length)
    made.props('clearable debounce="300"')
    return made.on_value_change(on_change)


def read_search(made: ui.input | ui.textarea | ui.select) -> str:
    """Read a field that searches, or a choice."""
    return str(made.value or "").replace("\0", "").strip()


def whole_field(label: str, value: int | None, *, hint: str = "", check: Check | None = None) -> ui.input | ui.textarea:
    """Draw a field for a whole number, read by `read_whole`. As text: a number field drops what it cannot read."""
    made = text_field(label, "" if value is None else str(value), hint=hint, check=check, max_length=9)
    return attrs(made, inputmode="numeric")


def choice_field(
    label: str,
    options: Mapping[str, str] | Sequence[str],
    value: str,
    on_change: Callable[[], object] | None = None,
) -> ui.select:
    """Draw a choice of one."""
    listed = dict(options) if isinstance(options, Mapping) else list(options)
    made = ui.select(listed, label=label, value=value, on_change=on_change)
    return made.props("outlined dense options-dense hide-bottom-space").classes("field")


def toggle(label: str, options: Mapping[str, str], value: str, on_choose: Callable[[str], object]) -> ui.toggle:
    """Draw a choice of one among a few, side by side; `on_choose` gets the chosen one."""
    made = ui.toggle(dict(options), value=value, on_change=lambda event: on_choose(str(event.value)))
    return attrs(made.props("no-caps unelevated toggle-color=none toggle-text-color=none"), aria_label=label)


def read_whole(made: ui.input | ui.textarea) -> int | None:
    """Read a whole number; None where the field is empty. Call it after `is_valid`."""
    text = str(made.value or "").strip()
    return int(text) if text else None


def is_valid(fields: Sequence[ui.input | ui.select | ui.textarea]) -> bool:
    """Check every field, and focus the first wrong one."""
    wrong = [made for made in fields if not made.validate()]
    if wrong:
        wrong[0].run_method("focus")
    return not wrong


def _wrap_check(check: Check | None) -> Callable[[str], str | None] | None:
    if check is None:
        return None
    return lambda value: check(str(value or "")) or None
