"""Messages for a spreadsheet, as a workbook or as CSV, and no cell that a spreadsheet would take for a formula."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
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
from imsg_console.widgets import xlsx
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.formats import XLSX
from imsg_console.widgets.work import Work, start
from imsg_web.responses import LOGGED

BOM = "\ufeff"
"""Without it Excel takes UTF-8 for the system's own code page."""

COLUMNS = (
    "id",
    "created",
    "username",
    "method",
    "to",
    "subject",
    "text",
    "attachments",
    "status",
    "meaning",
    "code",
    "detail",
    "attempts",
    "provider",
    "provider_id",
    "updated",
    "resend_of",
)

MAX_CELL = 32_000
"""Characters: a spreadsheet's cell holds 32,767."""

START_S = 60.0
"""How long a browser may take to ask for the file: it may ask somebody where to put it."""

_FORMULA = re.compile(r"[\s\0]*[=+\-@＝＋－＠]")
"""What a spreadsheet reads as the beginning of a formula, once it has dropped the white space before it (OWASP)."""


def harmless(value: object) -> str:
    """Make a cell that every spreadsheet shows as text."""
    cell = "" if value is None else str(value).replace("\0", "")[:MAX_CELL]
    return f"'{cell}" if _FORMULA.match(cell) or cell[:1] in ("\t", "\r", "\n") else cell


class Sheet:
    """Writes lines of CSV for one person."""

    def __init__(self, texts: Texts, moments: TimeFormat) -> None:
        self._t = texts
        self._moments = moments

    def head(self) -> str:
        """Write the BOM and the names of the columns."""
        return BOM + _write_rows([self.heading])

    @property
    def heading(self) -> list[str]:
        """Name the columns."""
        return [self._t(f"messages.column_{name}") for name in COLUMNS]

    def lines(self, messages: Iterable[Mapping[str, Any]]) -> str:
        """One line a message."""
        return _write_rows([[harmless(cell) for cell in self.cells(message)] for message in messages])

    def cells(self, message: Mapping[str, Any]) -> list[object]:
        """Write a message as a row."""
        error = message["error"] or {}
        said = explain(self._t, message["method"], message["status"], error.get("code"))
        return [
            message["id"],
            self._moments.full(message["created_at"]),
            message["username"],
            method_name(self._t, message["method"]),
            message["to"],
            message["subject"],
            text(message["content"]),
            "；".join(str(each["filename"]) for each in message["attachments"]),
            self._t.get(f"words.status_{message['status']}", message["status"]),
            said.meaning if said else "",
            error.get("code"),
            error.get("detail"),
            message["attempts"],
            message["provider"],
            message["provider_id"],
            self._moments.full(message["updated_at"]),
            message["resend_of"],
        ]


class Exporting:
    """One export: written while it is downloaded, page by page, and counted on a work that any page shows."""

    def __init__(self, view: View, asked: Mapping[str, str], sheet: Sheet) -> None:
        self._view = view
        self._asked = asked
        self._sheet = sheet
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun = asyncio.Event()
        self._work: Work | None = None

    async def work(self, work: Work) -> None:
        """Last as long as the download does. Raises ApiError, SessionOver."""
        self._work = work
        try:
            async with asyncio.timeout(START_S):
                await self._begun.wait()
        except TimeoutError as error:
            raise ApiError("stopped", self._view.t("messages.export_broken")) from error
        await self._over

    async def write_csv(self) -> AsyncIterator[bytes]:
        """Write the file; where it breaks off, the download does, rather than look whole."""
        async for piece in self._write(self._csv()):
            yield piece

    async def write_xlsx(self) -> AsyncIterator[bytes]:
        """Write a workbook; it is there once all of it is."""
        rows = ([self._sheet.cells(message) for message in messages] async for messages in self._pages())
        async for piece in self._write(xlsx.stream(self._sheet.heading, rows)):
            yield piece

    async def _csv(self) -> AsyncGenerator[bytes, None]:
        yield self._sheet.head().encode()
        async for messages in self._pages():
            yield self._sheet.lines(messages).encode()

    async def _pages(self) -> AsyncIterator[list[dict[str, Any]]]:
        async for messages in self._view.api.pages("/api/v2/messages", "messages", **self._asked):
            self._check()
            yield messages
            if self._work is not None:
                self._work.done += len(messages)

    async def _write(self, pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        self._begun.set()
        try:
            async with aclosing(pieces):  # whoever leaves takes what was written along
                async for piece in pieces:
                    yield piece
            self._end(None)
        except xlsx.TooManyRowsError as error:
            told = ApiError("too_many", self._view.t("files.too_many_rows", n=f"{xlsx.MAX_ROWS:,}"))
            self._end(told)
            told.add_note(f"{LOGGED}a work that broke off")
            raise told from error
        except (ApiError, SessionOver) as error:
            self._end(error)
            error.add_note(f"{LOGGED}a work that broke off")  # no bug: whoever began it is told
            raise
        finally:
            self._end(ApiError("stopped", self._view.t("messages.export_broken")))

    def _check(self) -> None:
        """Raise ApiError once somebody has stopped the work."""
        if self._over.cancelled():
            raise ApiError("stopped")

    def _end(self, error: Exception | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)


def export(view: View, asked: Mapping[str, str], moments: TimeFormat, kind: str) -> None:
    """Begin the download of everything that fits some filters; `kind` is `xlsx` or `csv`."""
    exporting = Exporting(view, asked, Sheet(view.t, moments))
    start(view, view.t("messages.export_work"), exporting.work)
    day = moments.day(datetime.now(UTC).isoformat())
    is_workbook = kind == XLSX
    write = exporting.write_xlsx if is_workbook else exporting.write_csv
    media_type = xlsx.MEDIA_TYPE if is_workbook else "text/csv; charset=utf-8"
    address = view.files.offer(view.session.key, f"iMSG {day}.{kind}", media_type, write)
    ui.download.from_url(address)


def _write_rows(rows: list[list[Any]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()
