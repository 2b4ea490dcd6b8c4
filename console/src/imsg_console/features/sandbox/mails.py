"""The sandbox's mails, read as their recipients would."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from imsg_console.features.sandbox.arrivals import Arrivals, name
from imsg_console.features.sandbox.split import Item, Split, pane_head
from imsg_console.message.content import draw_attachments, draw_body
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, live_text
from imsg_console.widgets.facts import code_block, draw_facts
from imsg_console.widgets.notices import empty


class Mails:
    """Draws what arrived, and refreshes it."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._t = view.t
        self._arrivals = Arrivals(view.sandbox, "smtp")
        t = view.t
        self._empty = empty(
            t("sandbox.mail_none_title"),
            t("sandbox.mail_none"),
            "mark_email_unread",
            action=t("sandbox.send_one"),
            target="/send",
        )
        with element("div") as self._place:
            search = ui.input(t("sandbox.search"), on_change=lambda event: self._search(str(event.value or "")))
            search.props('outlined dense clearable debounce=400 maxlength=320 type="search"')
            self._split = Split(view, t("sandbox.mails"), t("sandbox.mail_choose"), self._read)
            self._nothing = attrs(element("p", "muted", t("sandbox.nothing_found")), role="status")
            with element("p", "line muted small") as self._cut:
                self._shown = live_text()
                button(t("sandbox.more"), self._more, kind="quiet")
        self._place.set_visibility(False)
        self._to = ""

    async def refresh(self) -> None:
        """Show what has changed. Raises ApiError."""
        if not await self._arrivals.refresh():
            return
        count = len(self._arrivals.messages)
        self._empty.set_visibility(not count and not self._to)
        self._place.set_visibility(bool(count or self._to))
        self._nothing.set_visibility(not count)
        self._shown.text = self._t("sandbox.newest", n=count)
        self._cut.set_visibility(self._arrivals.is_cut)
        self._split.show(
            [
                Item(
                    name(mail),
                    line(mail["subject"], 120) or self._t("sandbox.no_subject"),
                    f"→ {line(mail['to'], 80)}",
                    self._view.times.short(mail["at"]),
                    "attach_file" if mail["attachments"] else "",
                )
                for mail in self._arrivals.messages
            ]
        )

    async def _more(self) -> None:
        self._arrivals.more()
        await self.refresh()

    async def _search(self, to: str) -> None:
        self._to = to.strip()
        self._arrivals.only(self._to)
        await self.refresh()

    async def _read(self, key: str) -> None:
        head = next((message for message in self._arrivals.messages if name(message) == key), None)
        if head is None:
            return
        mail = await self._arrivals.read(head)
        if self._split.chosen == key:  # another may be by now
            with self._split.pane:
                self._draw(mail)

    def _draw(self, mail: Mapping[str, Any]) -> None:
        t = self._t
        pane_head(line(mail["subject"], 300) or t("sandbox.no_subject"))
        draw_facts(
            (
                (t("sandbox.mail_from"), line(mail["from"], 320)),
                (t("sandbox.mail_to"), line(mail["to"], 320)),
                (t("sandbox.mail_at"), self._view.times.full(mail["at"])),
            )
        )
        draw_body(self._view, mail["text"] or "", mail["html"])
        draw_attachments(self._view, mail["attachments"])
        with ui.expansion(t("sandbox.raw")).props("dense").classes("source"):
            code_block(mail["raw"], t("sandbox.raw_hint"))
