"""Bars: how much of a limit is used, how far a work is."""

from nicegui import ui

from imsg_console.widgets.elements import attrs

NEAR = 0.8
"""The share of a limit from which on a bar warns."""


def tone(used: int, limit: int) -> str:
    """Return the tone of a limit: `bad` when it is used up, `warn` when nearly, else empty."""
    if used >= limit:
        return "bad"
    return "warn" if used >= NEAR * limit else ""


def bar(label: str, share: float, text: str = "", *, role: str = "progressbar", level: str = "") -> ui.linear_progress:
    """Draw a bar; `text` is what screen readers say in place of the share."""
    drawn = ui.linear_progress(value=share, show_value=False, size="0.5rem", color=None)
    drawn.classes(f"bar bar-{level}" if level else "bar")
    return attrs(drawn, role=role, aria_label=label, **({"aria_valuetext": text} if text else {}))
