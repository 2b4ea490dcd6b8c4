"""Reports as users ask for them, follow them and fetch them."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, func, insert, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_history.audit import insert_line
from imsg_history.database import Database
from imsg_history.ids import find_day, rfc3339
from imsg_history.ownership import find_ownership
from imsg_history.pagination import Page, TimePosition, make_page
from imsg_history.report_files import MEDIA_TYPES
from imsg_history.report_schemas import NewReport, ReportsQuery
from imsg_history.tables import report_parts, reports
from imsg_web.audit import make_change
from imsg_web.callers import Caller

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"

LIFETIME = timedelta(hours=24)

MAX_UNFINISHED = 20
"""Reports of one user that wait or are being made."""


@dataclass(frozen=True, slots=True)
class ReportPart:
    """A part of a finished report's file."""

    body: bytes
    parts: int
    """How many the file has."""
    media_type: str
    filename: str


def make_row(kind: str, body: str, caller: Caller, now: datetime) -> dict[str, Any]:
    """Make the row of a report that is still to be made; `body` is what it is of, as JSON."""
    return {
        "id": secrets.token_hex(16),
        "username": caller.username,
        "user_id": caller.user_id,
        "role": caller.role,
        "registered_at": caller.since,
        "kind": kind,
        "body": body,
        "state": WAITING,
        "progress": 0,
        "rows": 0,
        "parts": 0,
        "tries": 0,
        "created_at": now,
        "expires_at": now + LIFETIME,
        "leased_until": now,
    }


class Reports:
    """The store of reports; `report_builder` makes them."""

    def __init__(
        self, database: Database, zone: ZoneInfo, now: Callable[[], datetime], wake: Callable[[], None]
    ) -> None:
        """`wake` is called when a report waits."""
        self._database = database
        self._zone = zone
        self._now = now
        self._wake = wake

    async def begin(self, report: NewReport, caller: Caller) -> str:
        """Store a report to be made, and return its id.

        Raises Refusal no_right, too_many_reports; DatabaseUnavailable.
        """
        find_ownership(report.filters.user, caller)  # refuses another user's name
        row = make_row(report.kind, report.model_dump_json(exclude_none=True), caller, self._now())
        await self._database.write(lambda connection: _insert(connection, row, report, caller))
        self._wake()
        return str(row["id"])

    async def find(self, query: ReportsQuery, caller: Caller) -> Page:
        """Find a page of the caller's own, newest first. Raises DatabaseUnavailable."""
        statement = select(reports).where(*self._are_own(caller))
        if query.cursor is not None:
            position = tuple_(literal(query.cursor.at, reports.c.created_at.type), literal(query.cursor.id))
            statement = statement.where(tuple_(reports.c.created_at, reports.c.id) < position)
        newest_first = statement.order_by(reports.c.created_at.desc(), reports.c.id.desc())
        rows = await self._database.fetch(newest_first.limit(query.limit + 1))
        return make_page(rows, query.limit, self._show, lambda row: TimePosition(row.created_at, row.id))

    async def show(self, name: str, caller: Caller) -> dict[str, Any]:
        """Show one of the caller's own. Raises Refusal not_found, DatabaseUnavailable."""
        return self._show(await self._find_own(name, caller))

    async def read_part(self, name: str, n: int, caller: Caller) -> ReportPart:
        """Return a part of the file. Raises Refusal not_found, DatabaseUnavailable."""
        row = await self._find_own(name, caller)
        query = select(report_parts.c.body).where(report_parts.c.report == row.id, report_parts.c.n == n)
        body: bytes | None = await self._database.scalar(query) if row.state == DONE else None
        if body is None:
            raise Refusal("not_found", what=f"{name[:64]}/file")
        report = NewReport.model_validate_json(row.body, extra="ignore")
        days = [find_day(at, self._zone) for at in (report.since, report.until)]
        filename = f"imsg-{report.kind}-{'-'.join(days)}.{report.format}"
        return ReportPart(body, row.parts, MEDIA_TYPES[report.format], filename)

    async def _find_own(self, name: str, caller: Caller) -> Row[Any]:
        where = (reports.c.id == name, *self._are_own(caller))
        row = await self._database.first(select(reports).where(*where))
        if row is None:
            raise Refusal("not_found", what=name[:64])
        return row

    def _are_own(self, caller: Caller) -> Sequence[ColumnElement[bool]]:
        is_report = reports.c.kind.in_(("usage", "messages"))
        return (reports.c.user_id == caller.user_id, is_report, reports.c.expires_at > self._now())

    def _show(self, row: Row[Any]) -> dict[str, Any]:
        return describe(row, self._zone)


def describe(row: Row[Any], zone: ZoneInfo) -> dict[str, Any]:
    """Return a report as the API shows it."""
    report = NewReport.model_validate_json(row.body, extra="ignore")
    return {
        "id": row.id,
        "kind": report.kind,
        "by": list(report.by),
        "since": rfc3339(report.since),
        "until": rfc3339(report.until),
        "timezone": zone.key,
        "filters": report.chosen_filters(),
        "format": report.format,
        "state": row.state,
        "progress": row.progress,
        "rows": row.rows,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
        "url": f"/api/v2/reports/{row.id}/file" if row.state == DONE else None,
    }


async def _insert(connection: AsyncConnection, row: dict[str, Any], report: NewReport, caller: Caller) -> None:
    unfinished = select(func.count()).where(
        reports.c.user_id == caller.user_id, reports.c.state.in_((WAITING, RUNNING))
    )
    if (await connection.scalar(unfinished) or 0) >= MAX_UNFINISHED:
        raise Refusal("too_many_reports", count=MAX_UNFINISHED)
    await connection.execute(insert(reports).values(row))
    details = {"kind": report.kind, "format": report.format}
    await connection.execute(insert_line(make_change(caller, "report", row["id"], row["created_at"], after=details)))
