"""The audit: what history adds to it, and how it is read."""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Insert, Row, insert, literal, select, tuple_

from imsg_contract.wire import Change
from imsg_database.totals import count_rows
from imsg_history.database import Database
from imsg_history.ids import rfc3339
from imsg_history.pagination import Page, TimePosition, make_page
from imsg_history.queries import AuditQuery
from imsg_history.records import AuditRow
from imsg_history.tables import audit
from imsg_web.audit import make_change
from imsg_web.callers import Caller
from imsg_web.schemas import MAX_TOTAL

READ_AGAIN = timedelta(minutes=10)
"""How long a caller's reading of the same thing stays one line: a page that is open reads every few seconds."""

MAX_READS = 10_000

EVERYBODY = "*"
"""The target of who reads what is of all users."""


class Audit:
    """Writes and lists the lines of the audit."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._reads: OrderedDict[tuple[str, str | None, str, str], datetime] = OrderedDict()

    async def record(self, caller: Caller, action: str, target: str, **more: Any) -> None:  # noqa: ANN401  `make_change`'s
        """Add a line of what a caller does now. Raises DatabaseUnavailable."""
        await self._database.execute(insert_line(make_change(caller, action, target, self._now(), **more)))

    async def record_read(self, caller: Caller, action: str, target: str) -> None:
        """Add a line of a caller's reading, unless the same was recorded lately. Raises DatabaseUnavailable."""
        key = None if caller.key is None else caller.key.id
        read, now = (caller.user_id, key, action, target), self._now()
        recorded_at = self._reads.get(read)
        if recorded_at is not None and now - recorded_at < READ_AGAIN:
            return
        await self.record(caller, action, target)
        self._reads[read] = now
        self._reads.move_to_end(read)
        if len(self._reads) > MAX_READS:
            self._reads.popitem(last=False)

    async def find(self, query: AuditQuery) -> Page:
        """Find a page, newest first. Raises DatabaseUnavailable."""
        statement = select(audit)
        for name in ("actor", "action", "target"):
            if (wanted := getattr(query, name)) is not None:
                statement = statement.where(audit.c[name] == wanted)
        if query.since is not None:
            statement = statement.where(audit.c.at >= query.since)
        if query.until is not None:
            statement = statement.where(audit.c.at < query.until)
        total = await self._database.scalar(count_rows(statement, MAX_TOTAL + 1)) if query.total else None
        if query.cursor is not None:
            position = tuple_(literal(query.cursor.at, audit.c.at.type), literal(query.cursor.id))
            statement = statement.where(tuple_(audit.c.at, audit.c.id) < position)
        ordered = statement.order_by(audit.c.at.desc(), audit.c.id.desc()).limit(query.limit + 1)
        rows = await self._database.fetch(ordered)
        return make_page(rows, query.limit, _show, lambda row: TimePosition(row.at, row.id), total)


def insert_line(change: Change) -> Insert:
    """Return the statement that adds a line."""
    return insert(audit).values(asdict(AuditRow.make(change)))


def _show(row: Row[Any]) -> dict[str, Any]:
    return {
        "at": rfc3339(row.at),
        "actor": row.actor,
        "key": row.key,
        "address": row.address,
        "action": row.action,
        "target": row.target,
        "before": json.loads(row.before or "null"),
        "after": json.loads(row.after or "null"),
        "request": row.request,
    }
