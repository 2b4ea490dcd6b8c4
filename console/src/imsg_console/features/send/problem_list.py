"""Texts that are no recipients, each with why, and buttons that correct and remove it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nicegui import ui
from nicegui.element import Element

from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.elements import attrs, button, element, icon, redraw
from imsg_console.widgets.forms import Field, ask_form

SHOWN = 20

COPIED = 2_000
"""Lines that are copied at once."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A text that is no recipient."""

    text: str
    label: str
    why: str
    correct: Callable[[str], Awaitable[None]] | None = None
    """Takes another text in its place; None where there is nothing to correct."""
    remove: Callable[[], object] | None = None


def draw_problems(view: View, place: Element, symbol: str, title: str, problems: Sequence[Problem]) -> None:
    """Draw the first problems below a title; nothing where there are none."""
    with redraw(place):
        if not problems:
            return
        with ui.row():
            icon(symbol)
            element("strong", "", title)
            copy_button(view, "\n".join(f"{problem.text}\t{problem.why}" for problem in problems[:COPIED]))
        with element("ul", "stack"):
            for problem in problems[:SHOWN]:
                _draw(view, problem)
        if len(problems) > SHOWN:
            element("p", "muted", view.t("send.and_more", n=len(problems) - SHOWN))


def _draw(view: View, problem: Problem) -> None:
    t, name = view.t, line(problem.text, 80)
    with element("li", "side-by-side problem"):
        with element("span", "line"):
            element("span", "problem-text", name)
            if problem.label:
                element("span", "muted", line(problem.label, 40))
            element("span", "muted", problem.why)
        if problem.correct is not None:
            edit = button("", partial(_ask_correction, view, problem, problem.correct), kind="quiet", symbol="edit")
            attrs(edit, aria_label=t("send.correct", name=name))
        if problem.remove is not None:
            remove = button("", problem.remove, kind="quiet", symbol="close")
            attrs(remove, aria_label=t("send.remove", name=name))


async def _ask_correction(view: View, problem: Problem, correct: Callable[[str], Awaitable[None]]) -> None:
    title = view.t("send.correct", name=line(problem.text, 80))
    field = Field("text", title, problem.text, hint=problem.why)
    read = await ask_form(view, title, [field], view.t("send.correct_save"))
    if read is not None and read["text"] not in ("", problem.text):
        await correct(read["text"])
