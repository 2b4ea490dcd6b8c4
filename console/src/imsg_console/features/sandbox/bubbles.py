"""The bubbles of a conversation, and the field that answers in it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from nicegui import ui

from imsg_console.sanitize import block
from imsg_console.view import View
from imsg_console.widgets.elements import act_in_page, attrs, button

MAX_CHARACTERS = 2_000


def write_now() -> str:
    """Write the current time as the API does."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def draw_bubble(view: View, at: str, text: str | None, side: str, *, name: str | None = None) -> ui.chat_message:
    """Draw a text of the `account` or the `follower`, with its time; None draws the bubble alone."""
    shown = None if text is None else block(text, MAX_CHARACTERS)
    stamp = view.times.short(at)
    bubble = ui.chat_message(shown, name=name, stamp=stamp, sent=side == "follower")
    return attrs(bubble.classes(f"bubble bubble-{side}"), title=view.times.full(at))


def draw_answer_field(
    label: str, action: str, on_text: Callable[[str], Awaitable[object]], *, max_length: int, symbol: str
) -> None:
    """Draw a field with a button; `on_text` gets a text that is not empty."""
    field = ui.input(label).props(f"outlined dense maxlength={max_length:d}").classes("chat-say")

    async def answer() -> None:
        text = str(field.value or "").strip()
        field.set_value("")
        if text:
            await on_text(text)

    field.on("keydown.enter", act_in_page(answer))
    button(action, answer, kind="main", symbol=symbol)
