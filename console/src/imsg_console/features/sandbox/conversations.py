"""What arrived of a channel of plain texts: a conversation for each recipient, its messages as bubbles."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from imsg_channels.spec import ChannelSpec
from imsg_console.features.sandbox.arrivals import Arrivals
from imsg_console.features.sandbox.split import Item, Split, pane_head
from imsg_console.sanitize import block, line
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import attrs, element
from imsg_console.widgets.notices import empty

MOST = 500


class Conversations:
    """Draws them and keeps them fresh."""

    def __init__(self, view: View, moments: TimeFormat, channel: ChannelSpec) -> None:
        self._t = view.t
        self._moments = moments
        self._arrivals = Arrivals(view.sandbox, channel.name, MOST)
        t = view.t
        self._empty = empty(
            t("sandbox.texts_none_title", channel=method_name(t, channel.name)),
            t("sandbox.texts_none"),
            channel.icon,
            action=t("sandbox.send_one"),
            target="/send",
        )
        with element("div", "split-place") as self._place:
            self._split = Split(view, t("sandbox.recipients"), t("sandbox.texts_choose"), self._open)
            self._cut = element("p", "muted small", t("sandbox.newest", n=MOST))
        self._place.set_visibility(False)
        self._by_number: dict[str, list[Mapping[str, Any]]] = {}

    async def look(self) -> None:
        """Show what has changed. Raises ApiError."""
        if not await self._arrivals.look():
            return
        now = datetime.now(UTC)
        self._by_number = {}
        for one in self._arrivals.messages:
            self._by_number.setdefault(str(one["to"]), []).append(one)
        self._empty.set_visibility(not self._by_number)
        self._place.set_visibility(bool(self._by_number))
        self._cut.set_visibility(self._arrivals.is_cut)
        self._split.show(
            [
                Item(
                    number,
                    line(number, 40),
                    line(messages[0]["text"], 80),
                    f"{self._moments.short(messages[0]['at'], now)} · {self._t('sandbox.count', n=len(messages))}",
                )
                for number, messages in self._by_number.items()
            ]
        )
        if self._split.chosen in self._by_number:
            self._split.choose(self._split.chosen)

    def _open(self, number: str) -> None:
        now = datetime.now(UTC)
        pane_head(self._t("sandbox.conversation", to=line(number, 40)))
        with element("div", "bubbles"):
            for one in reversed(self._by_number.get(number, [])):
                bubble = ui.chat_message(block(one["text"], 2_000), stamp=self._moments.short(one["at"], now))
                attrs(bubble.classes("bubble"), title=self._moments.full(one["at"]))
