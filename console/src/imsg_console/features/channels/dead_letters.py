"""Dead letters: what they are, why they were dead-lettered, their body, and another try."""

import json
from collections.abc import Mapping
from typing import Any

from imsg_console.client import path
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.view import View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.dialogs import confirm, reading_dialog
from imsg_console.widgets.elements import element
from imsg_console.widgets.facts import code_block
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column

PATH = "/api/v2/dead"
PAGE_ROWS = 20
BROKE = "broke the worker"


class DeadLetters:
    """The table of dead letters."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        t = view.t
        self.table = PagedTable(
            view,
            t("channels.dead"),
            [
                Column("reason", t("channels.dead_reason"), self._reason, lambda row: row["reason"], is_main=True),
                Column("channel", t("channels.channel"), self._channel, lambda row: row["method"] or ""),
                Column("request", t("channels.dead_request"), self._request),
                Column("at", t("channels.dead_at"), self._time, lambda row: row["at"]),
                Column("actions", t("channels.actions"), self._actions),
            ],
            PATH,
            key="id",
            size=PAGE_ROWS,
            texts="dead",
            symbol="task_alt",
            actions={"read": self._read, "resend": self._resend},
        )

    def _reason(self, row: Row) -> Cell:
        pieces = [cells.text(describe_reason(self._t, row["reason"]))]
        return [*pieces, cells.muted(line(row["detail"], 300))] if row["detail"] else pieces

    def _channel(self, row: Row) -> Cell:
        return cells.method(self._t, row["method"]) if row["method"] else "—"

    def _request(self, row: Row) -> Cell:
        request = row["request"]
        return cells.link(f"{request[:8]}…", f"/messages?id={request}") if request else "—"

    def _time(self, row: Row) -> Cell:
        return self._view.times.short(row["at"])

    def _actions(self, row: Row) -> Cell:
        t, name = self._t, self._t("channels.dead_read_of", id=row["id"][:8])
        may_resend = row["request"] and self._view.may("POST /dead/{id}/resend")
        read = cells.button("read", t("channels.dead_read"), name, icon="visibility", kind="quiet")
        resend = [cells.button("resend", t("channels.dead_resend"), icon="replay")] if may_resend else []
        return [[read, *resend]]

    async def _read(self, row: Row) -> None:
        t = self._t
        letter = await self._view.api.get(path(PATH, row["id"]))
        with reading_dialog(self._view, describe_reason(t, letter["reason"]), wide=True):
            if letter["detail"]:
                element("p", "", line(letter["detail"], 500))
            element("p", "muted small", f"{t('channels.dead_queue')}: {line(letter['queue'])}")
            element("h3", "", t("channels.dead_body" if "body" in letter else "channels.dead_body_base64"))
            code_block(_indent(letter), t("channels.dead_body"))

    async def _resend(self, row: Row) -> None:
        t = self._t
        title, what = t("channels.dead_resend_ask"), t("channels.dead_resend_what")
        if await confirm(self._view, title, what, t("channels.dead_resend"), danger=False):
            answer = await self._view.api.post(f"{path(PATH, row['id'])}/resend", {})
            toast(t("channels.dead_resent", n=answer["count"]))


def describe_reason(t: Texts, reason: str) -> str:
    """Describe the reason of a dead letter in plain words."""
    if reason.startswith(BROKE):
        return t("channels.dead_broke")
    return t.get(f"channels.dead_{reason}", line(reason) or t("channels.dead_unknown"))


def _indent(letter: Mapping[str, Any]) -> str:
    """Return a dead letter's body, indented where it is JSON."""
    if "body" not in letter:
        return str(letter.get("body_base64", ""))
    try:
        return json.dumps(json.loads(letter["body"]), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return str(letter["body"])
