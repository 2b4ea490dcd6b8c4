"""The steps of sending, above each of its pages: recipients, content, check, progress."""

from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, element

STEPS = ("who", "what", "check", "progress")


class Steps:
    """Draws the steps, and marks the current one."""

    def __init__(self, t: Texts, current: str) -> None:
        with attrs(element("ol", "line steps"), aria_label=t("send.steps")):
            self._items = {name: element("li", "", t(f"send.step_{name}")) for name in STEPS}
        self.show(current)

    def show(self, current: str) -> None:
        """Mark a step."""
        for name, item in self._items.items():
            item.props("aria-current=step" if name == current else "", remove="" if name == current else "aria-current")
