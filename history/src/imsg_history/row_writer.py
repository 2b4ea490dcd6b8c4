"""Rows written to the database: one statement a table, rows in the order of their keys."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Table, Text, case, cast, func, null, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import SETTLED, Category, Status
from imsg_database.arrays import as_parameters, insert_rows
from imsg_database.inserts import Insert, insert_into
from imsg_history import batch_redaction, day_facts, due_times, legs
from imsg_history.batch_redaction import ErasedPeopleFinder
from imsg_history.code_redaction import redact_codes
from imsg_history.merge import MergedBatch
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
"""The columns that each record fills: its fields have the columns' names."""

SLICE = 1_000
"""Rows of one statement: to prepare so many occupies the event loop for some 10 ms."""

RECIPIENT_COLUMNS = ("username", "method", "written", "address", "user_id", "events", "country", "params", "reference")
"""Columns that only a job knows: the first one that arrives fills them."""

PERSONAL_COLUMNS = ("at", "provider_id", "code", "detail")
"""Columns with personal data: they don't change where the message's recipient was erased."""

EVENT_STATUSES = frozenset(status.value for status in SETTLED | {Status.SCHEDULED, Status.HELD})
"""The statuses that callbacks gets events of."""

EVENT_COLUMNS = (
    "request", "n", "seq", "events", "username", "user_id", "method", "written", "address", "status", "attempts",
    "provider", "provider_id", "code", "detail", "at", "reference",
)  # fmt: skip

COUNTED_COLUMNS = ("request", "username", "previous", *day_facts.COUNTED)
"""Columns by which day facts count a message."""

LATENCY_COLUMNS = ("sent_in", "delivered_in")
"""Columns of the shortest time that is known."""

STATUS_COLUMNS = ("status", "rank", "attempt", "at", "mark", "provider", "provider_id", "code", "detail")
"""Columns of the fact that sets the status."""


@dataclass(slots=True)
class Changes:
    """What a write changed: how many events it inserted for callbacks, and what day facts are to count otherwise."""

    events: int = 0
    counted: Counter[day_facts.Change] = field(default_factory=Counter)


class RowWriter:
    """Upserts for one kind of database; the statements are built once.

    Every writer locks rows in the same order (table by table, sorted by key), so that several histories wait for one
    another and never deadlock.
    """

    def __init__(self, digests: Digests, *, is_postgres: bool) -> None:
        self._erased_people = ErasedPeopleFinder(digests)
        self._is_postgres = is_postgres
        self._insert_new = {table: self._build_insert(table).on_conflict_do_nothing() for table in COLUMNS}
        self._raise_status = _build_status_upsert(self._build_insert(messages)).returning(
            *(messages.c[name] for name in dict.fromkeys(EVENT_COLUMNS + COUNTED_COLUMNS))
        )
        self._raise_and_insert_events = _build_event_insert(self._raise_status)
        self._insert_events = insert_into(events, is_postgres=False).on_conflict_do_nothing()

    async def write(self, connection: AsyncConnection, batch: MergedBatch) -> int:
        """Write the rows of a batch, without the data of people who were erased since. The caller commits.

        Returns the number of events for callbacks.
        """
        erased = await self._erased_people.find(connection, batch)
        if erased is not None:
            batch_redaction.redact_dead_letters(batch, erased)
            batch_redaction.redact_replies(batch, erased)
        await self.insert_new(connection, dead, _in_order(batch.dead))
        if batch.dead_jobs:
            batch.settle_dead_letters(await _read_times(connection, batch.dead_jobs))
        await self._find_subjects(connection, batch)
        if erased is not None:
            await batch_redaction.redact_messages(connection, batch, erased)
        await self.insert_new(connection, requests, _in_order(batch.requests))
        await self.insert_new(connection, jobs, _in_order(batch.jobs))
        await legs.write_legs(connection, _in_order(batch.requests))
        await due_times.update_scheduled(connection, batch)
        changes = await self.raise_status(connection, _in_order(batch.messages))
        changes.events += await legs.write_progress(
            connection, batch.progress, EVENT_COLUMNS, is_postgres=self._is_postgres
        )
        await self.insert_new(connection, attempts, _in_order(batch.attempts))
        if erased is not None:
            await batch_redaction.delete_erased_attempts(connection, batch)
        await self.insert_new(connection, receipts, _in_order(batch.receipts))
        await self.insert_new(connection, replies, _in_order(batch.replies))
        await self.insert_new(connection, audit, _in_order(batch.audit))
        await _redact_codes(connection, batch)
        await day_facts.record(connection, changes.counted)  # last: these rows are everybody's
        return changes.events

    async def write_early_progress(self, connection: AsyncConnection, names: Sequence[str]) -> int:
        """Write the counts of people that arrived before their request; return the number of events for callbacks."""
        return await legs.write_early_progress(connection, names, EVENT_COLUMNS, is_postgres=self._is_postgres)

    async def insert_new(self, connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, sorted by key, unless they exist."""
        for part in slices(rows):
            await connection.execute(self._insert_new[table], self._parameters(table, part))

    async def raise_status(self, connection: AsyncConnection, rows: Sequence[MessageRow]) -> Changes:
        """Insert messages, sorted by key, or raise the existing ones to the status of higher precedence.

        The same statement inserts the events of the messages that it raised, where their user subscribed to events.
        The caller records the changes in the day facts, at the end of its transaction.
        """
        changes = Changes()
        for part in slices(rows):
            parameters = self._parameters(messages, part)
            if self._is_postgres:
                ways = (await connection.execute(self._raise_and_insert_events, parameters)).mappings().all()
                changes.events += ways[0]["event_count"] if ways else 0
                for way in ways:
                    changes.counted[day_facts.Change.read(way)] += way["messages"]
                continue
            raised = (await connection.execute(self._raise_status, parameters)).mappings().all()
            changes.counted.update(day_facts.Change.read(row) for row in raised if row["username"] is not None)
            new_events = [dict(row) for row in raised if row["events"] and row["status"] in EVENT_STATUSES]
            if new_events:
                await connection.execute(self._insert_events, new_events)
            changes.events += len(new_events)
        return changes

    def _build_insert(self, table: Table) -> Insert:
        return insert_rows(table, COLUMNS[table], is_postgres=self._is_postgres)

    def _parameters(self, table: Table, rows: Sequence[Row]) -> Any:  # noqa: ANN401  SQLAlchemy's own union
        columns = COLUMNS[table]
        return as_parameters(columns, map(attrgetter(*columns), rows), is_postgres=self._is_postgres)

    async def _find_subjects(self, connection: AsyncConnection, batch: MergedBatch) -> None:
        """Fill in the subjects of contents that are attachments of history."""
        for request, row in list(batch.requests.items()):
            if row.content_at is None:
                continue
            key = (attachments.c.request == request, attachments.c.sha256 == json.loads(row.content_at)["sha256"])
            body = await connection.scalar(select(attachments.c.body).where(*key))
            batch.requests[request] = _with_subject(row, body)


def _build_status_upsert(added: Insert) -> Insert:
    new, old = added.excluded, messages.c
    is_higher = tuple_(new.rank, new.attempt, new.at, new.mark) > tuple_(old.rank, old.attempt, old.at, old.mark)
    is_changed = or_(is_higher, old.username.is_(None) & new.username.is_not(None), new.attempts > old.attempts)
    is_changed = or_(is_changed, old.erased_at.is_(None) & new.erased_at.is_not(None))
    was_erased, is_erased = old.erased_at.is_not(None), new.erased_at.is_not(None)
    by_precedence = {name: case((is_higher, new[name]), else_=old[name]) for name in STATUS_COLUMNS}
    sooner = {
        name: new[name].is_not(None) & or_(old[name].is_(None), new[name] < old[name]) for name in LATENCY_COLUMNS
    }
    more_segments = new.billed_segments.is_not(None) & (
        old.billed_segments.is_(None) | (new.billed_segments > old.billed_segments)
    )
    is_billed = new.billed.is_not(None) & (
        old.billed.is_(None) | (tuple_(new.currency, new.billed) > tuple_(old.currency, old.billed))
    )
    is_changed = or_(is_changed, *sooner.values(), more_segments, is_billed)
    changes = {
        **{
            name: case((was_erased, old[name]), else_=func.coalesce(old[name], new[name])) for name in RECIPIENT_COLUMNS
        },
        **by_precedence,
        **{
            name: case((was_erased, old[name]), (is_erased, new[name]), else_=by_precedence[name])
            for name in PERSONAL_COLUMNS
        },
        "erased_at": func.coalesce(old.erased_at, new.erased_at),
        "attempts": case((new.attempts > old.attempts, new.attempts), else_=old.attempts),
        "seq": case((is_higher & (new.status != old.status), old.seq + 1), else_=old.seq),
        **{name: case((is_sooner, new[name]), else_=old[name]) for name, is_sooner in sooner.items()},
        "simulated": func.coalesce(old.simulated, new.simulated),
        "billed_segments": case((more_segments, new.billed_segments), else_=old.billed_segments),
        **{name: case((is_billed, new[name]), else_=old[name]) for name in ("billed", "currency")},
        "previous": case((old.username.is_(None), null()), else_=_write_counted(old)),
    }
    return added.on_conflict_do_update(index_elements=["request", "n"], set_=changes, where=is_changed)


def _write_counted(columns: Any) -> ColumnElement[str]:  # noqa: ANN401  a table's columns
    """Write how day facts count a message, as `day_facts.Counted.read` reads it."""
    first, *others = (func.coalesce(cast(columns[name], Text), "") for name in day_facts.COUNTED)
    text: ColumnElement[str] = first
    for value in others:
        text = text + "|" + value
    return text


def _build_event_insert(raise_status: Any) -> Select[Any]:  # noqa: ANN401  an insert that returns
    """Build the insert of an event for each row that the upsert returns, in one statement with it.

    A row whose status did not change makes the same event, by its key, as before. The insert skips it while that event
    waits, and callbacks skips it later. The statement returns how many rows changed in which way, and at each the
    number of events.
    """
    raised = raise_status.cte("moved")
    is_subscribed: ColumnElement[bool] = (raised.c.events > 0) & raised.c.status.in_(sorted(EVENT_STATUSES))
    rows = select(*(raised.c[name] for name in EVENT_COLUMNS)).where(is_subscribed)
    inserted = insert_into(events, is_postgres=True).from_select(EVENT_COLUMNS, rows).on_conflict_do_nothing()
    added = inserted.returning(events.c.n).cte("added")
    counted = [raised.c[name] for name in COUNTED_COLUMNS]
    event_count = select(func.count()).select_from(added).scalar_subquery().label("event_count")
    ways = select(*counted, func.count().label("messages"), event_count)
    return ways.where(raised.c.username.is_not(None)).group_by(*counted)


def slices(rows: Sequence[R], size: int = SLICE) -> Iterator[Sequence[R]]:
    """Cut a sequence into slices of `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


async def _redact_codes(connection: AsyncConnection, batch: MergedBatch) -> None:
    """Redact the codes that the batch settles, or that arrive after they settled."""
    names = {row.request for row in batch.messages.values() if row.status in EVENT_STATUSES}
    names |= {name for name, row in batch.requests.items() if row.category == Category.CODE.value}
    for part in slices(sorted(names)):
        await redact_codes(connection, part)


def _in_order(rows: Mapping[Any, Any]) -> list[Any]:
    return [rows[key] for key in sorted(rows)]


async def _read_times(connection: AsyncConnection, names: Collection[str]) -> dict[str, datetime]:
    rows = await connection.execute(select(dead.c.id, dead.c.at).where(dead.c.id.in_(names)))
    return {row.id: row.at for row in rows}


def _with_subject(row: RequestRow, body: bytes | None) -> RequestRow:
    try:
        content = json.loads(body or b"null")
    except ValueError:
        return row
    subject = content.get("subject") if isinstance(content, dict) else None
    return replace(row, subject=clean(subject)) if isinstance(subject, str) else row
