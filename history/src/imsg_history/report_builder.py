"""Makes the reports that wait, one at a time; several processes on one PostgreSQL share them by leases."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import IO, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, Select, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.prices import PriceList
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.exports import EXPORT, ExportReader, NewExport, encode
from imsg_history.ids import rfc3339
from imsg_history.query import MessageQuery
from imsg_history.query_fields import read_time
from imsg_history.report_files import open_report_file
from imsg_history.report_schemas import NewReport
from imsg_history.reports import DONE, FAILED, LIFETIME, RUNNING, WAITING, describe
from imsg_history.tables import report_parts, reports
from imsg_history.usage import MEASURES, read_usage
from imsg_history.waiting import wait_for_any
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.published_prices import PricesUnavailable
from imsg_web.callers import Caller
from imsg_web.responses import ok

log = logger(__name__)

POLL_S = 5.0
"""How often a process looks for reports that were requested at another process, or that one left unfinished."""

LEASE = timedelta(seconds=60)
"""How long a process leases a report, from each batch on; the query of a batch takes 4 s at most."""

MAX_TRIES = 5

PART_BYTES = 1024 * 1024

MESSAGE_COLUMNS = (
    "id", "created_at", "updated_at", "username", "method", "to", "status", "attempts", "provider", "provider_id",
    "category", "reference", "key", "segments", "cost", "currency", "cost_estimated", "error_code", "error_detail",
)  # fmt: skip
"""Never a message's content."""


EXPORT_ROWS_PER_NOTE = 100
"""After so many rows of an export its count is written, and its lease renewed."""


class _Gone(Exception):  # noqa: N818
    """The report was deleted, or another process makes it."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows to write, and how far the report is with them, in percent."""

    rows: Sequence[dict[str, Any]]
    progress: int


@dataclass(frozen=True, slots=True)
class ReportBuilder:
    """Makes reports until it is stopped."""

    database: Database
    zone: ZoneInfo
    now: Callable[[], datetime]
    fetch_prices: Callable[[], Awaitable[PriceList]]
    """Raises PricesUnavailable."""
    _waiting: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Start the next report at once."""
        self._waiting.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Make reports until `stopping`."""
        problem = RecurringProblem(log, "reports_delayed")
        while not stopping.is_set():
            self._waiting.clear()
            with problem.catch(DatabaseUnavailable, PricesUnavailable, BadRow, OSError):
                while not stopping.is_set() and await self.build_next():
                    pass
            await wait_for_any(self._waiting, stopping, within_s=POLL_S)

    async def build_next(self) -> bool:
        """Make a report that waits; return False without one.

        Raises DatabaseUnavailable, PricesUnavailable, BadRow, OSError.
        """
        if await self.database.first(self._select_oldest()) is None:
            return False
        prices = await self.fetch_prices()  # before a try is counted
        row = await self.database.write(self._claim)
        if row is None:
            return False
        if row.state == FAILED:
            log.error("report_failed", id=row.id, tries=row.tries)
            return True
        with contextlib.suppress(_Gone):
            await self._build(row, prices)
        return True

    def _select_oldest(self) -> Select[Any]:
        """Select the oldest report that no process makes."""
        now = self.now()
        is_free = or_(reports.c.state == WAITING, (reports.c.state == RUNNING) & (reports.c.leased_until < now))
        return select(reports).where(is_free, reports.c.expires_at > now).order_by(reports.c.created_at).limit(1)

    async def _claim(self, connection: AsyncConnection) -> Row[Any] | None:
        """Lease the oldest report that no process makes; a report that was begun too often fails."""
        row = (await connection.execute(self._select_oldest().with_for_update(skip_locked=True))).first()
        if row is None:
            return None
        state = RUNNING if row.tries < MAX_TRIES else FAILED
        change = update(reports).where(reports.c.id == row.id)
        values = {"state": state, "tries": row.tries + 1, "progress": 0, "rows": 0, "parts": 0}
        claim = change.values(**values, leased_until=self.now() + LEASE).returning(*reports.c)
        await connection.execute(delete(report_parts).where(report_parts.c.report == row.id))
        return (await connection.execute(claim)).one()

    async def _build_export(self, row: Row[Any], prices: PriceList) -> None:
        """Write a person's export: what other services keep, then a list for each kind of row that history keeps."""
        export, count = NewExport.model_validate_json(row.body, extra="ignore"), 0
        reader = ExportReader(self.database, export.people, _read_caller(row), prices)
        people = [person.model_dump() for person in export.people]
        head = encode(ok(created_at=rfc3339(self.now()), people=people, **export.kept))
        with tempfile.TemporaryFile() as file:
            await asyncio.to_thread(file.write, head[:-1])
            for name, rows in reader.list_sections():
                await asyncio.to_thread(file.write, f', "{name}": ['.encode())
                separator = b""
                async for record in rows:
                    await asyncio.to_thread(file.write, separator + encode(record))
                    separator, count = b",\n", count + 1
                    if count % EXPORT_ROWS_PER_NOTE == 0:
                        await self._update(row, rows=count)
                await asyncio.to_thread(file.write, b"]")
            await asyncio.to_thread(file.write, b"}\n")
            await self._store(row, file)
        log.info("export_made", id=row.id, rows=count)

    async def _build(self, row: Row[Any], prices: PriceList) -> None:
        if row.kind == EXPORT:
            await self._build_export(row, prices)
            return
        report, caller = NewReport.model_validate_json(row.body, extra="ignore"), _read_caller(row)
        shown = describe(row, self.zone)
        about = ok(**{name: shown[name] for name in ("kind", "by", "since", "until", "timezone", "filters")})
        columns, batches = await self._open(report, caller, prices)
        count = 0
        # A file that is not finished, since the report was deleted meanwhile, leaves nothing in the folder either.
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
            report_file = await asyncio.to_thread(open_report_file, report.format, file, columns, about, folder)
            async for batch in batches:
                await asyncio.to_thread(report_file.write, batch.rows)
                count += len(batch.rows)
                await self._update(row, progress=min(batch.progress, 99), rows=count)
            await asyncio.to_thread(report_file.close)
            await self._store(row, file)
        log.info("report_made", id=row.id, kind=report.kind, rows=count)

    async def _open(
        self, report: NewReport, caller: Caller, prices: PriceList
    ) -> tuple[Sequence[str], AsyncIterator[_Batch]]:
        """Return the columns of a report, and its rows."""
        if report.kind == "messages":
            return MESSAGE_COLUMNS, self._read_messages(report, caller, prices)
        rows = await read_usage(self.database, report, caller, self.zone, prices)
        if report.format == "json":
            return (*report.by, *MEASURES, "cost"), _yield_batch(rows)
        currencies = sorted({cost["currency"] for row in rows for cost in row["cost"]})
        columns = (*report.by, *MEASURES, *(f"cost_{currency}" for currency in currencies), "cost_estimated")
        return columns, _yield_batch([_spread_cost(row, columns) for row in rows])

    async def _read_messages(self, report: NewReport, caller: Caller, prices: PriceList) -> AsyncIterator[_Batch]:
        messages, cursor, span_s = MessageQuery(self.database), "", (report.until - report.since).total_seconds()
        while True:
            page = await messages.find(report.list_messages(cursor), caller, prices)
            rows = list(map(_flatten, page.rows))
            remaining_s = (read_time(rows[-1]["created_at"], "") - report.since).total_seconds() if rows else 0.0
            yield _Batch(rows, round(100 * (1 - remaining_s / span_s)))
            if page.next is None:
                return
            cursor = page.next

    async def _store(self, row: Row[Any], file: IO[bytes]) -> None:
        """Store the file in parts, and set the report's state."""
        file.seek(0)
        n = 0
        while body := await asyncio.to_thread(file.read, PART_BYTES):
            await self._update(row, part=(n, body))
            n += 1
        await self._update(row, state=DONE, progress=100, parts=n, expires_at=self.now() + LIFETIME)

    async def _update(self, row: Row[Any], part: tuple[int, bytes] | None = None, **values: Any) -> None:  # noqa: ANN401
        """Write what has changed, and renew the lease. Raises _Gone where this process has lost the lease."""
        own = (reports.c.id == row.id, reports.c.state == RUNNING, reports.c.tries == row.tries)
        change = update(reports).where(*own).values(**values, leased_until=self.now() + LEASE)

        async def write(connection: AsyncConnection) -> bool:
            if not (await connection.execute(change)).rowcount:
                return False
            if part is not None:
                await connection.execute(insert(report_parts).values(report=row.id, n=part[0], body=part[1]))
            return True

        if not await self.database.write(write):
            raise _Gone


def _read_caller(row: Row[Any]) -> Caller:
    return Caller(row.username, row.role, row.user_id, row.registered_at)


async def _yield_batch(rows: Sequence[dict[str, Any]]) -> AsyncIterator[_Batch]:
    yield _Batch(rows, 99)


def _spread_cost(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return a row with a column of numbers for each currency, which spreadsheets can add up."""
    costs = {f"cost_{cost['currency']}": Decimal(cost["amount"]) for cost in row["cost"]}
    estimated = any(cost["estimated"] for cost in row["cost"])
    return dict.fromkeys(columns) | row | costs | {"cost_estimated": estimated}


def _flatten(message: dict[str, Any]) -> dict[str, Any]:
    error, cost = message["error"] or {}, message["cost"] or {}
    known = {
        **message,
        "error_code": error.get("code"),
        "error_detail": error.get("detail"),
        "cost": cost.get("amount"),
        "currency": cost.get("currency"),
        "cost_estimated": cost.get("estimated"),
    }
    return {name: known.get(name) for name in MESSAGE_COLUMNS}
