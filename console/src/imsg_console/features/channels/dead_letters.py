"""Dead letters: what they are, why they died, their body, and another try."""

import json
from datetime import UTC, datetime
from typing import Any

from nicegui.element import Element

from imsg_console.client import path
from imsg_console.sanitize import block, line
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.dialogs import confirm, dialog
from imsg_console.widgets.elements import attrs, button, element, link_to
from imsg_console.widgets.notices import empty, toast
from imsg_console.widgets.tables import Column, PagedTable, Row

PAGE = 20
BROKE = "broke the worker"


class DeadLetters:
    """Draws their table."""

    def __init__(self, view: View, moments: TimeFormat) -> None:
        self._view = view
        self._t = view.t
        self._moments = moments
        t = view.t
        self._table = PagedTable(
            view,
            t("channels.dead"),
            [
                Column(t("channels.dead_reason"), self._reason, "main", lambda row: row["reason"]),
                Column(t("channels.dead_channel"), self._channel, "", lambda row: row["method"] or ""),
                Column(t("channels.dead_request"), self._request),
                Column(t("channels.dead_at"), self._at, "", lambda row: row["at"]),
                Column(t("channels.dead_actions"), self._actions),
            ],
            self._load,
            key=lambda row: str(row["id"]),
            when_empty=lambda: empty(t("channels.dead_none_title"), t("channels.dead_none"), "task_alt"),
        )

    async def load(self) -> None:
        """Show the newest."""
        await self._table.load()

    async def _load(self, cursor: str) -> tuple[list[Row], str | None]:
        answer = await self._view.api.get("/api/v2/dead", limit=PAGE, cursor=cursor)
        return answer["dead"], answer["next"]

    def _at(self, row: Row) -> str:
        return self._moments.short(row["at"], datetime.now(UTC))

    def _reason(self, row: Row) -> Element:
        with element("div") as drawn:
            element("div", "", reason(self._view, row["reason"]))
            if row["detail"]:
                element("div", "muted small", line(row["detail"], 300))
        return drawn

    def _channel(self, row: Row) -> str | Element | None:
        return chips.method(self._view, row["method"]) if row["method"] else "—"

    def _request(self, row: Row) -> str | Element | None:
        request = row["request"]
        return link_to(f"{request[:8]}…", f"/messages?id={request}") if request else "—"

    def _actions(self, row: Row) -> Element:
        t = self._t
        with element("div", "row-actions") as drawn:
            made = button(t("channels.dead_read"), lambda: self._read(row), kind="quiet", symbol="visibility")
            attrs(made, aria_label=t("channels.dead_read_of", id=row["id"][:8]))
            if row["request"]:
                button(t("channels.dead_resend"), lambda: self._resend(row), symbol="replay")
        return drawn

    async def _read(self, row: Row) -> None:
        t = self._t
        letter = await self._view.api.get(path("/api/v2/dead", row["id"]))
        with dialog(reason(self._view, letter["reason"]), wide=True) as opened:
            if letter["detail"]:
                element("p", "", line(letter["detail"], 500))
            element("p", "muted small", f"{t('channels.dead_queue')}: {line(letter['queue'])}")
            element("h3", "", t("channels.dead_body" if "body" in letter else "channels.dead_body_base64"))
            body = attrs(element("pre", "code-block", block(_pretty(letter))), tabindex="0", role="region")
            attrs(body, aria_label=t("channels.dead_body"))
            with element("div", "actions dialog-foot"):
                button(t("layout.close"), opened.close, kind="quiet")
        opened.on("hide", opened.delete)
        opened.open()

    async def _resend(self, row: Row) -> None:
        t = self._t
        title, what = t("channels.dead_resend_ask"), t("channels.dead_resend_what")
        if await confirm(self._view, title, what, t("channels.dead_resend"), danger=False):
            answer = await self._view.api.post(f"{path('/api/v2/dead', row['id'])}/resend", {})
            toast(t("channels.dead_resent", n=answer["count"]))


def reason(view: View, text: str) -> str:
    """Put a dead letter's reason into plain words."""
    if text.startswith(BROKE):
        return view.t("channels.dead_broke")
    return view.t.get(f"channels.dead_{text}", line(text) or view.t("channels.dead_unknown"))


def _pretty(letter: dict[str, Any]) -> str:
    if "body" not in letter:
        return str(letter.get("body_base64", ""))
    try:
        return json.dumps(json.loads(letter["body"]), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return str(letter["body"])
