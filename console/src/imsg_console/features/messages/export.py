"""Messages as a workbook or as CSV."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, SessionOver
from imsg_console.explanations import explain
from imsg_console.message.summary import text
from imsg_console.texts import Texts
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets import exports, xlsx
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.work import Work, start
from imsg_web.responses import LOGGED_AS

COLUMNS = ("id", "created", "username", "method", "to", "subject", "text", "attachments", "status", "meaning", "code",
           "detail", "attempts", "provider", "provider_id", "updated", "resend_of")  # fmt: skip

START_S = 60.0
"""How long a browser may take to request the file: it may ask a person where to put it."""


class MessageSheet:
    """Writes messages as rows for one person."""

    def __init__(self, t: Texts, times: TimeFormat) -> None:
        self._t, self._times = t, times

    @property
    def heading(self) -> list[str]:
        """Return the titles of the columns."""
        return [self._t(f"messages.column_{name}") for name in COLUMNS]

    def row(self, message: Mapping[str, Any]) -> list[object]:
        """Write a message as a row."""
        error = message["error"] or {}
        explained = explain(self._t, message["method"], message["status"], error.get("code"))
        return [
            message["id"],
            self._times.full(message["created_at"]),
            message["username"],
            method_name(self._t, message["method"]),
            message["to"],
            message["subject"],
            text(message["content"]),
            "；".join(str(attachment["filename"]) for attachment in message["attachments"]),
            self._t.get(f"words.status_{message['status']}", message["status"]),
            explained.meaning if explained else "",
            error.get("code"),
            error.get("detail"),
            message["attempts"],
            message["provider"],
            message["provider_id"],
            self._times.full(message["updated_at"]),
            message["resend_of"],
        ]


class Export:
    """One export: written page by page while it is downloaded, and counted on a work that any page shows."""

    def __init__(self, view: View, parameters: Mapping[str, str], kind: str) -> None:
        """`parameters` are those of GET /api/v2/messages; `kind` is `xlsx` or `csv`."""
        self._view, self._parameters, self._kind = view, parameters, kind
        self._sheet = MessageSheet(view.t, view.times)
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun = asyncio.Event()
        self._work: Work | None = None

    async def run(self, work: Work) -> None:
        """Last as long as the download does. Raises ApiError, SessionOver."""
        self._work = work
        try:
            async with asyncio.timeout(START_S):
                await self._begun.wait()
        except TimeoutError as error:
            raise ApiError("stopped", self._view.t("messages.export_broken")) from error
        await self._end

    async def write(self) -> AsyncIterator[bytes]:
        """Yield the file. An error ends the download, so that a file never looks whole that is not."""
        self._begun.set()
        pieces = exports.write(self._kind, self._sheet.heading, self._read_rows(), ())
        try:
            async with aclosing(pieces):  # a browser that leaves removes what was written
                async for piece in pieces:
                    yield piece
            if not self._end.done():
                self._end.set_result(None)
        except xlsx.TooManyRowsError as error:
            too_many = ApiError("too_many", self._view.t("files.too_many_rows", n=f"{xlsx.MAX_ROWS:,}"))
            raise self._fail(too_many) from error
        except (ApiError, SessionOver) as error:
            raise self._fail(error) from None
        finally:
            self._fail(ApiError("stopped", self._view.t("messages.export_broken")))

    async def _read_rows(self) -> AsyncIterator[exports.Rows]:
        async for messages in self._view.api.pages("/api/v2/messages", "messages", **self._parameters):
            if self._end.cancelled():
                raise ApiError("stopped")  # the work was stopped
            yield [self._sheet.row(message) for message in messages]
            if self._work is not None:
                self._work.done += len(messages)

    def _fail(self, error: Exception) -> Exception:
        """End the work with an error, which the work shows; the note keeps the server from logging it as a bug."""
        error.add_note(f"{LOGGED_AS}a work that broke off")
        if not self._end.done():
            self._end.set_exception(error)
        return error


def export(view: View, parameters: Mapping[str, str], kind: str) -> None:
    """Begin the download of all messages that the parameters find; `kind` is `xlsx` or `csv`."""
    download = Export(view, parameters, kind)
    start(view, view.t("messages.export_work"), download.run)
    name = f"iMSG {view.times.day(datetime.now(UTC).isoformat())}.{kind}"
    ui.download.from_url(exports.offer(view, name, download.write))
