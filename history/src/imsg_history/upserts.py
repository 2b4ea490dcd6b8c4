"""A fold written to the database in one transaction: a statement a table, rows in order of their keys."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, case, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import SETTLED
from imsg_database.arrays import as_parameters, insert_rows
from imsg_database.inserts import Insert, insert_into
from imsg_history import redaction
from imsg_history.merge import Merge
from imsg_history.records import (
    AttemptRow,
    AuditRow,
    DeadRow,
    JobRow,
    MessageRow,
    ReceiptRow,
    ReplyRow,
    RequestRow,
    clean,
)
from imsg_history.redaction import Redaction
from imsg_history.tables import attachments, attempts, audit, dead, events, jobs, messages, receipts, replies, requests
from imsg_people.tombstones import Digests

R = TypeVar("R")


Row = RequestRow | JobRow | MessageRow | AttemptRow | ReceiptRow | ReplyRow | DeadRow | AuditRow

COLUMNS: Mapping[Table, tuple[str, ...]] = {
    table: tuple(record.__dataclass_fields__)
    for table, record in (
        (requests, RequestRow),
        (jobs, JobRow),
        (messages, MessageRow),
        (attempts, AttemptRow),
        (receipts, ReceiptRow),
        (replies, ReplyRow),
        (dead, DeadRow),
        (audit, AuditRow),
    )
}
"""The columns that a record fills: they are named alike."""

SLICE = 1_000
"""Rows in one statement: their preparation keeps the event loop for some 10 ms."""

WHO = ("username", "method", "written", "address", "user_id", "events")
PERSONAL = ("at", "provider_id", "code", "detail")
"""What an event says of a person beyond what counts: of one who was erased it is not taken in."""

TOLD = frozenset(status.value for status in SETTLED)
"""The statuses of which there are events."""

EVENT_COLUMNS = (
    "request", "n", "seq", "events", "username", "user_id", "method", "written", "address", "status", "attempts",
    "provider", "provider_id", "code", "detail", "at",
)  # fmt: skip

SAID = ("status", "rank", "attempt", "at", "mark", "provider", "provider_id", "code", "detail")


class Writer:
    """Upserts for one kind of database; the statements are built once.

    Every row is locked in the same order by everybody (table by table, sorted by key), so that recorders side by
    side wait for one another and never in a circle.
    """

    def __init__(self, digests: Digests, *, is_postgres: bool) -> None:
        self._withholding = Redaction(digests)
        self._is_postgres = is_postgres
        self._keep_first = {table: self._insert(table).on_conflict_do_nothing() for table in COLUMNS}
        self._climb = _make_climb(self._insert(messages)).returning(*(messages.c[name] for name in EVENT_COLUMNS))
        self._tell = (
            _make_tell(self._climb) if is_postgres else insert_into(events, is_postgres=False).on_conflict_do_nothing()
        )

    async def write(self, connection: AsyncConnection, fold: Merge) -> int:
        """Write the rows of a fold, but for what they hold of people erased since. Whoever calls it commits.

        Returns how many events there are to tell.
        """
        withheld = await self._withholding.find(connection, fold)
        if withheld is not None:
            redaction.from_dead(fold, withheld)
            redaction.from_replies(fold, withheld)
        await self.keep(connection, dead, _in_order(fold.dead))
        if fold.dead_jobs:
            fold.settle_dead(await _since(connection, fold.dead_jobs))
        await self._find_subjects(connection, fold)
        if withheld is not None:
            await redaction.from_rest(connection, fold, withheld)
        await self.keep(connection, requests, _in_order(fold.requests))
        await self.keep(connection, jobs, _in_order(fold.jobs))
        told = await self.climb(connection, _in_order(fold.messages))
        await self.keep(connection, attempts, _in_order(fold.attempts))
        if withheld is not None:
            await redaction.from_time_lines(connection, fold)
        await self.keep(connection, receipts, _in_order(fold.receipts))
        await self.keep(connection, replies, _in_order(fold.replies))
        await self.keep(connection, audit, _in_order(fold.audit))
        return told

    async def keep(self, connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
        """Add rows, sorted by key, that are not there yet."""
        for some in slices(rows):
            await connection.execute(self._keep_first[table], self._parameters(table, some))

    async def climb(self, connection: AsyncConnection, rows: Sequence[MessageRow]) -> int:
        """Add messages, sorted by key, or move those that are there to what stands higher.

        Of those that moved, and whose sender wants to hear of it, events are kept in the same step; returns how many.
        """
        told = 0
        for some in slices(rows):
            parameters = self._parameters(messages, some)
            if self._is_postgres:
                told += (await connection.execute(self._tell, parameters)).rowcount
                continue
            moved = (await connection.execute(self._climb, parameters)).mappings()
            news = [dict(row) for row in moved if row["events"] and row["status"] in TOLD]
            if news:
                await connection.execute(self._tell, news)
            told += len(news)
        return told

    def _insert(self, table: Table) -> Insert:
        return insert_rows(table, COLUMNS[table], is_postgres=self._is_postgres)

    def _parameters(self, table: Table, rows: Sequence[Row]) -> Any:  # noqa: ANN401  SQLAlchemy's own union
        columns = COLUMNS[table]
        return as_parameters(columns, map(attrgetter(*columns), rows), is_postgres=self._is_postgres)

    async def _find_subjects(self, connection: AsyncConnection, fold: Merge) -> None:
        """Fill in the subjects of contents that travelled by reference: the gateway has left the bytes with us."""
        for request, row in list(fold.requests.items()):
            if row.content_at is None:
                continue
            key = (attachments.c.request == request, attachments.c.sha256 == json.loads(row.content_at)["sha256"])
            body = await connection.scalar(select(attachments.c.body).where(*key))
            fold.requests[request] = _with_subject(row, body)


def _make_climb(added: Insert) -> Insert:
    new, old = added.excluded, messages.c
    wins = tuple_(new.rank, new.attempt, new.at, new.mark) > tuple_(old.rank, old.attempt, old.at, old.mark)
    is_news = or_(wins, old.username.is_(None) & new.username.is_not(None), new.attempts > old.attempts)
    is_news = or_(is_news, old.erased_at.is_(None) & new.erased_at.is_not(None))
    was_erased, is_erased = old.erased_at.is_not(None), new.erased_at.is_not(None)
    said = {name: case((wins, new[name]), else_=old[name]) for name in SAID}
    changes = {
        **{name: case((was_erased, old[name]), else_=func.coalesce(old[name], new[name])) for name in WHO},
        **said,
        **{name: case((was_erased, old[name]), (is_erased, new[name]), else_=said[name]) for name in PERSONAL},
        "erased_at": func.coalesce(old.erased_at, new.erased_at),
        "attempts": case((new.attempts > old.attempts, new.attempts), else_=old.attempts),
        "seq": case((wins & (new.status != old.status), old.seq + 1), else_=old.seq),
    }
    return added.on_conflict_do_update(index_elements=["request", "n"], set_=changes, where=is_news)


def _make_tell(climb: Any) -> Insert:  # noqa: ANN401  an insert that returns
    """Keep an event of each row that an upsert returns, where its sender wants to hear: one statement, one trip.

    What moved in nothing that is told, such as in its attempts, makes the event that it made before: the same by its
    key, which is known while it waits, and to callbacks later.
    """
    moved = climb.cte("moved")
    is_told: ColumnElement[bool] = (moved.c.events > 0) & moved.c.status.in_(sorted(TOLD))
    rows = select(*(moved.c[name] for name in EVENT_COLUMNS)).where(is_told)
    return insert_into(events, is_postgres=True).from_select(EVENT_COLUMNS, rows).on_conflict_do_nothing()


def slices(rows: Sequence[R], size: int = SLICE) -> Iterator[Sequence[R]]:
    """Cut a sequence into pieces of `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _in_order(rows: Mapping[Any, Any]) -> list[Any]:
    return [rows[key] for key in sorted(rows)]


async def _since(connection: AsyncConnection, names: Collection[str]) -> dict[str, datetime]:
    found = await connection.execute(select(dead.c.id, dead.c.at).where(dead.c.id.in_(names)))
    return {row.id: row.at for row in found}


def _with_subject(row: RequestRow, body: bytes | None) -> RequestRow:
    try:
        content = json.loads(body or b"null")
    except ValueError:
        return row
    subject = content.get("subject") if isinstance(content, dict) else None
    return replace(row, subject=clean(subject)) if isinstance(subject, str) else row
