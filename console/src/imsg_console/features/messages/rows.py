"""One message as a row of the table: plain text in every field, whatever somebody has sent."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from imsg_console.explanations import explain
from imsg_console.message.filters import RESENDABLE, UNSETTLED
from imsg_console.message.summary import title
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_console.widgets.chips import METHODS, STATUSES, method_name

NOTHING_HELD: Mapping[str, str] = MappingProxyType({})


class Rows:
    """Makes rows for one person."""

    def __init__(self, texts: Texts, moments: TimeFormat, base: str) -> None:
        self._t = texts
        self._moments = moments
        self._base = base

    def row(
        self, message: Mapping[str, Any], now: datetime, *, gone: bool = False, held: Mapping[str, str] = NOTHING_HELD
    ) -> dict[str, Any]:
        """Make a row; `held` are the channels that send nothing now."""
        status, method = message["status"], message["method"]
        symbol, tone = STATUSES.get(status, ("help", "calm"))
        error = message["error"] or {}
        said = explain(self._t, method, status, error.get("code"))
        named = title(message) or self._t("messages.no_content")
        return {
            "id": message["id"],
            "href": f"{self._base}/{message['id']}",
            "title": named,
            "files": (files := len(message["attachments"])),
            "files_text": self._t("messages.attached", n=files) if files else "",
            "to": line(message["to"], 80),
            "who": line(message["username"], 64),
            "method": method,
            "method_icon": METHODS.get(method, "send"),
            "method_text": method_name(self._t, method),
            "status": status,
            "status_icon": symbol,
            "tone": tone,
            "status_text": self._t.get(f"words.status_{status}", status),
            "note": self._note(message, held) or (said.meaning if said else ""),
            "at": self._moments.short(message["created_at"], now),
            "iso": message["created_at"],
            "full": self._moments.full(message["created_at"]),
            "resendable": status in (*RESENDABLE, "uncertain") and not message.get("resent_as"),
            "gone": gone,
            "gone_text": self._t("messages.no_longer_fits"),
            "pick": self._t("messages.pick", title=line(named, 60), to=line(message["to"], 60)),
        }

    def request(
        self, request: Mapping[str, Any], now: datetime, *, held: Mapping[str, str] = NOTHING_HELD
    ) -> dict[str, Any]:
        """Make a row of a request: one recipient leads to its message, several open below it."""
        method, count = request["method"], int(request["recipients"])
        counts = {status: int(n) for status, n in request["counts"].items() if n}
        named = title(request) or self._t("messages.no_content")
        to = line(request["to"], 80)
        files = len(request["attachments"])
        waits = any(status in UNSETTLED for status in counts)
        return {
            "id": request["id"],
            "href": f"{self._base}/{request['id']}-0" if count == 1 else "",
            "title": named,
            "files": files,
            "files_text": self._t("messages.attached", n=files) if files else "",
            "to": to,
            "others": "" if count == 1 else self._t("messages.and_others", n=count),
            "recipients": count,
            "who": line(request["username"], 64),
            "method_icon": METHODS.get(method, "send"),
            "method_text": method_name(self._t, method),
            "counts": [self._count(status, n, count) for status, n in counts.items()],
            "failed": sum(counts.get(status, 0) for status in RESENDABLE),
            "status": "queued" if waits else "",
            "note": self._t(f"messages.held_{held[method]}_note") if waits and method in held else "",
            "at": self._moments.short(request["created_at"], now),
            "iso": request["created_at"],
            "full": self._moments.full(request["created_at"]),
            "all": f"?id={request['id']}",
            "all_text": self._t("messages.all_recipients", n=count),
            "pick": self._t("messages.pick", title=line(named, 60), to=line(to, 60)),
        }

    def _count(self, status: str, n: int, whole: int) -> dict[str, Any]:
        symbol, tone = STATUSES.get(status, ("help", "calm"))
        name = self._t.get(f"words.status_{status}", status)
        return {"status": status, "icon": symbol, "tone": tone, "text": name if whole == 1 else f"{name} {n:,}"}

    def _note(self, message: Mapping[str, Any], held: Mapping[str, str]) -> str:
        """Say what counts more than the provider's last answer: its channel stands still, or it was resent."""
        if message["status"] in UNSETTLED and (state := held.get(message["method"])):
            return self._t(f"messages.held_{state}_note")
        return self._t("messages.resent_note") if message.get("resent_as") else ""
