"""What arrived on a channel of plain texts: a conversation for each recipient, its messages as bubbles.

An SMS can be answered as its recipient would. The answers are known to this page alone.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from nicegui import ui

from imsg_channels.sms import SMS
from imsg_channels.spec import ChannelSpec
from imsg_console.features.sandbox.arrivals import Arrivals
from imsg_console.features.sandbox.bubbles import draw_answer_field, draw_bubble, write_now
from imsg_console.features.sandbox.split import Item, Split, pane_head
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import element, redraw
from imsg_console.widgets.notices import empty, toast

MAX_SHOWN = 500

MAX_CHARACTERS = 500
"""Of an answer."""


class Conversations:
    """Draws what arrived, and refreshes it."""

    def __init__(self, view: View, channel: ChannelSpec) -> None:
        self._view = view
        self._t = view.t
        self._is_answerable = channel is SMS
        self._answers: dict[str, list[Mapping[str, Any]]] = {}
        self._arrivals = Arrivals(view.sandbox, channel.name, MAX_SHOWN)
        t = view.t
        self._empty = empty(
            t("sandbox.texts_none_title", channel=method_name(t, channel.name)),
            t("sandbox.texts_none"),
            channel.icon,
            action=t("sandbox.send_one"),
            target="/send",
        )
        with element("div") as self._place:
            self._split = Split(view, t("sandbox.recipients"), t("sandbox.texts_choose"), self._open)
            self._cut = element("p", "muted small", t("sandbox.newest", n=MAX_SHOWN))
        self._place.set_visibility(False)
        self._by_number: dict[str, list[Mapping[str, Any]]] = {}

    async def refresh(self) -> None:
        """Show what has changed. Raises ApiError."""
        if not await self._arrivals.refresh():
            return
        self._by_number = {}
        for message in self._arrivals.messages:
            self._by_number.setdefault(str(message["to"]), []).append(message)
        self._empty.set_visibility(not self._by_number)
        self._place.set_visibility(bool(self._by_number))
        self._cut.set_visibility(self._arrivals.is_cut)
        self._split.show(
            [
                Item(
                    number,
                    line(number, 40),
                    line(messages[0]["text"], 80),
                    f"{self._view.times.short(messages[0]['at'])} · {self._t('sandbox.count', n=len(messages))}",
                )
                for number, messages in self._by_number.items()
            ]
        )
        if self._split.chosen in self._by_number:
            self._draw_lines(self._split.chosen)

    def _open(self, number: str) -> None:
        pane_head(self._t("sandbox.conversation", to=line(number, 40)))
        self._bubbles = element("div")
        self._draw_lines(number)
        if self._is_answerable:
            t, answer = self._t, partial(self._answer, number)
            with ui.row().classes("chat-foot"):
                draw_answer_field(
                    t("sandbox.reply"), t("sandbox.reply_send"), answer, max_length=MAX_CHARACTERS, symbol="reply"
                )

    async def _answer(self, number: str, text: str) -> None:
        """Report the person's text to iMSG, as the provider does."""
        answer = await self._view.sandbox.call("POST", "/sandbox/sms/replies", {"from": number, "text": text})
        self._answers.setdefault(number, []).append({"at": write_now(), "text": text, "is_answer": True})
        self._draw_lines(number)
        if answer["kept"]:
            toast(self._t("sandbox.reply_told"))
        else:
            toast(self._t("sandbox.reply_waits"), good=False)

    def _draw_lines(self, number: str) -> None:
        lines = [*self._by_number.get(number, []), *self._answers.get(number, [])]
        with redraw(self._bubbles):
            for line in sorted(lines, key=lambda line: str(line["at"])):
                side = "follower" if line.get("is_answer") else "account"
                draw_bubble(self._view, line["at"], str(line["text"] or ""), side)
