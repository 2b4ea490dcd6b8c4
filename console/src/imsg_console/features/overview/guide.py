"""The first-run guide: what a new installation needs, each step done as soon as the installation shows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.element import Element

from imsg_console.client import make_url
from imsg_console.message.test_message import ask_test_message
from imsg_console.paths import PREFER
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import chip
from imsg_console.widgets.elements import attrs, button, element, heading, icon, link_to

SENT = "sent,delivered"


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    is_done: bool
    targets: Sequence[tuple[str, str | Callable[[], object]]]
    """Its actions: their names, and the page or the dialog that each opens."""
    is_simulated: bool = False


class Guide:
    """The guide; it is gone once every step was done, or the administrator has dismissed it."""

    def __init__(self, view: View, place: Element) -> None:
        self._view = view
        self._place = place
        self._is_wanted = view.session.is_admin and view.preferences.has_guide

    async def draw(self) -> None:
        """Draw the steps with their current states. Raises ApiError, SessionOver."""
        if not self._is_wanted:
            return
        steps = await self._find_steps()
        self._place.clear()
        self._is_wanted = not all(step.is_done for step in steps)
        if self._is_wanted:
            with self._place:
                self._draw(steps)

    async def _find_steps(self) -> Sequence[_Step]:
        view = self._view
        providers: Sequence[Mapping[str, Any]] = (await view.api.get("/api/v2/providers"))["providers"]
        real = [provider for provider in providers if not provider["simulated"]]
        keys = (await view.api.get("/api/v2/keys", limit=1))["keys"]
        names = [
            line(provider["name"], 64) for provider in real or providers if provider["method"] == _find_method(real)
        ]
        test = partial(ask_test_message, view, _find_method(real), names, names[0] if real else "")
        return (
            _Step("password", not view.session.warned, [("password", "/password")]),
            _Step("provider", bool(real), [("provider", "/providers?new=1")], not real and bool(providers)),
            _Step("test", await self._has_sent(real), [("test", test)], not real and bool(providers)),
            _Step("client", bool(keys), [("user", "/users?new=1"), ("key", "/keys?new=1")]),
        )

    async def _has_sent(self, real: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether a message has been sent; where there are real providers, by the method of one since it is."""
        bounds = [
            {"method": provider["method"], "since": provider["changed_at"] if provider["version"] == 1 else ""}
            for provider in real
        ]
        for bound in bounds or [{}]:
            answer = await self._view.api.get("/api/v2/messages", status=SENT, limit=1, **bound)
            if answer["messages"]:
                return True
        return False

    def _draw(self, steps: Sequence[_Step]) -> None:
        t = self._view.t
        with attrs(element("section", "card"), aria_label=t("overview.guide")):
            with ui.row().classes("justify-between"):
                heading(2, t("overview.guide"))
                link_to(t("overview.guide_dismiss"), make_url(PREFER, guide="hidden", next="/"))
            element("p", "muted", t("overview.guide_text", n=sum(step.is_done for step in steps)))
            with element("ol"):
                for number, step in enumerate(steps, 1):
                    self._draw_step(number, step)

    def _draw_step(self, number: int, step: _Step) -> None:
        t = self._view.t
        with element("li", f"line need need-{'good' if step.is_done else 'info'}"):
            if step.is_done:
                icon("check")
            else:
                attrs(element("span", "step-number", str(number)), aria_hidden="true")
            with ui.column().classes("need-body"):
                with ui.row():
                    element("strong", "", t(f"overview.guide_{step.name}"))
                    if step.is_done:
                        element("span", "unseen", t("overview.guide_done"))
                    if step.is_simulated:
                        chip(t("words.simulated"), "science", "info")
                element("span", "muted", t(f"overview.guide_{step.name}_text"))
                if step.is_simulated:
                    element("span", "muted", t(f"overview.guide_{step.name}_simulated"))
            for name, target in [] if step.is_done and not step.is_simulated else step.targets:
                text = t(f"overview.guide_{name}_step")
                if isinstance(target, str):
                    link_to(text, target).classes("button")
                else:
                    button(text, target)


def _find_method(real: Sequence[Mapping[str, Any]]) -> str:
    return str(real[0]["method"]) if real else "smtp"
