"""The steps of sending, above each of its pages: whom, what, the last look, the progress."""

from nicegui.element import Element

from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, element

STEPS = ("who", "what", "check", "progress")


class Steps:
    """Draws them, and says which one it is."""

    def __init__(self, texts: Texts, current: str) -> None:
        self._drawn: dict[str, Element] = {}
        with attrs(element("ol", "line steps"), aria_label=texts("send.steps")):
            for name in STEPS:
                self._drawn[name] = element("li", "", texts(f"send.step_{name}"))
        self.show(current)

    def show(self, current: str) -> None:
        """Be at a step."""
        for name, drawn in self._drawn.items():
            if name == current:
                attrs(drawn, aria_current="step")
            else:
                drawn.props.pop("aria-current", None)
            drawn.update()
