"""Deliveries: leased when they are due, settled after an attempt, listed, and sent again."""

import base64
import binascii
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import ColumnElement, bindparam, case, exists, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_callbacks.event_log import add_deliveries, append, make_delivery
from imsg_callbacks.records import Attempt, DueDelivery, Endpoint, LoggedEvent, read_endpoint
from imsg_callbacks.schedule import must_disable
from imsg_callbacks.tables import DELIVERED, FAILED, IS_WAITING, WAITING, deliveries, endpoints, log
from imsg_callbacks.times import rfc3339, rfc3339_or_none
from imsg_contract.errors import Refusal
from imsg_database.arrays import is_one_of
from imsg_database.database import Database
from imsg_database.engines import is_postgres

NUMBER_BYTES = 8


Disabled = Callable[[Endpoint, str, int], LoggedEvent]
"""Writes the event that an endpoint was disabled: which, why, when."""


class DeliveryLog:
    """The deliveries of a database. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, now: Callable[[], int], write_disabled: Disabled) -> None:
        self._database = database
        self._now = now
        self._write_disabled = write_disabled

    async def find_due(self) -> dict[str, int]:
        """Name the endpoints for which something is due, and how often each has failed in a row.

        A look into an index for each that is enabled.
        """
        now = self._now()
        waits = exists().where(
            deliveries.c.endpoint == endpoints.c.id,
            IS_WAITING,
            deliveries.c.due_at <= now,
            deliveries.c.leased_until <= now,
        )
        async with self._database.reading() as connection:
            query = select(endpoints.c.id, endpoints.c.failures).where(endpoints.c.disabled_at.is_(None), waits)
            return dict((await connection.execute(query)).all())

    async def take(self, name: str, max_count: int, lease_ms: int) -> list[DueDelivery]:
        """Lease what is due for an endpoint, the longest due first: no other process takes it until the lease ends."""
        now = self._now()
        due = (
            select(deliveries.c.number)
            .where(
                deliveries.c.endpoint == name,
                IS_WAITING,
                deliveries.c.due_at <= now,
                deliveries.c.leased_until <= now,
            )
            .order_by(deliveries.c.due_at, deliveries.c.number)
            .limit(max_count)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        lease = (
            update(deliveries)
            .where(deliveries.c.endpoint == name, deliveries.c.number.in_(select(due.c.number)))
            .values(leased_until=now + lease_ms)
            .returning(deliveries.c.number, deliveries.c.round)
        )
        async with self._database.writing() as connection:
            row = (await connection.execute(select(endpoints).where(endpoints.c.id == name))).mappings().first()
            if row is None or row["disabled_at"] is not None:
                return []
            rounds: dict[int, int] = dict((await connection.execute(lease)).all())
            if not rounds:
                return []
            is_due = is_one_of(log.c.number, list(rounds), is_postgres=is_postgres(connection))
            query = select(log.c.number, log.c.id, log.c.body).where(is_due).order_by(log.c.number)
            events = (await connection.execute(query)).all()
        endpoint = read_endpoint(row)
        return [DueDelivery(endpoint, event.number, event.id, event.body, rounds[event.number]) for event in events]

    async def settle(self, attempts: Sequence[Attempt]) -> list[tuple[Endpoint, str]]:
        """Keep what attempts came to; return the endpoints that this has disabled, and why."""
        async with self._database.writing() as connection:
            await _write_all(connection, [_write(one) for one in attempts])
            of: defaultdict[str, list[Attempt]] = defaultdict(list)
            for one in attempts:
                of[one.endpoint].append(one)
            troubled = sorted(name for name, some in of.items() if not all(one.answer.is_success for one in some))
            await _record_success(connection, sorted(of.keys() - set(troubled)), max(one.at for one in attempts))
            return [found for name in troubled if (found := await self._judge(connection, name, of[name])) is not None]

    async def _judge(
        self, connection: AsyncConnection, name: str, attempts: Sequence[Attempt]
    ) -> tuple[Endpoint, str] | None:
        """Note how an endpoint is by its last attempts, and disable it where that is due."""
        row = (
            (await connection.execute(select(endpoints).where(endpoints.c.id == name).with_for_update()))
            .mappings()
            .first()
        )
        if row is None:
            return None
        known, values, why = read_endpoint(row), dict[str, Any](), None
        for one in sorted(attempts, key=lambda attempt: attempt.at):
            if one.answer.is_success:
                values |= {"failing_since": None, "failures": 0, "reached_at": one.at, "last_error": None}
                continue
            since = values.get("failing_since", known.failing_since) or one.at
            failures = values.get("failures", known.failures) + 1
            values |= {"failing_since": since, "failures": failures, "last_error": one.answer.error}
            why = why or must_disable(one.answer, since, one.at)
        is_disabled = why is not None and known.disabled_at is None and values.get("failing_since") is not None
        if is_disabled:
            values |= {"disabled_at": self._now(), "disabled_why": why}
        await connection.execute(update(endpoints).where(endpoints.c.id == name).values(values))
        if not is_disabled or why is None:
            return None
        told = self._write_disabled(known, why, self._now())
        await append(connection, [told], self._now(), but_for=(name,))
        return known, why

    async def page(
        self, endpoint: str, state: str | None, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """List an endpoint's deliveries, newest event first. Raises Refusal wrong_type."""
        query = (
            select(deliveries, log.c.id.label("event"), log.c.type, log.c.body, log.c.kept_at)
            .join(log, log.c.number == deliveries.c.number)
            .where(deliveries.c.endpoint == endpoint)
            .order_by(deliveries.c.number.desc())
            .limit(limit + 1)
        )
        if state is not None:
            query = query.where(deliveries.c.state == state)
        if cursor is not None:
            query = query.where(deliveries.c.number < read_cursor(cursor))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        more = len(rows) > limit
        shown = [_show(row) for row in rows[:limit]]
        return shown, write_cursor(rows[limit - 1]["number"]) if more else None

    async def resend(self, endpoint: str, event: str) -> None:
        """Send one event to an endpoint once more, by the schedule from its start. Raises Refusal not_found."""
        async with self._database.writing() as connection:
            number = await connection.scalar(
                select(log.c.number)
                .join(deliveries, deliveries.c.number == log.c.number)
                .where(log.c.id == event, deliveries.c.endpoint == endpoint)
            )
            if number is None:
                raise Refusal("not_found", what=event[:80])
            await begin(connection, endpoint, [number], self._now())


async def _record_success(connection: AsyncConnection, names: Sequence[str], at: int) -> None:
    """Record that these endpoints accepted all calls."""
    if names:
        change = update(endpoints).where(is_one_of(endpoints.c.id, names, is_postgres=is_postgres(connection)))
        await connection.execute(change.values(failing_since=None, failures=0, reached_at=at, last_error=None))


async def begin(connection: AsyncConnection, endpoint: str, numbers: Sequence[int], now_ms: int) -> None:
    """Make deliveries due now: reset those that exist, and add the others."""
    mine = _is_among(connection, endpoint, numbers)
    known = set((await connection.execute(select(deliveries.c.number).where(mine))).scalars())
    if known:
        await connection.execute(
            update(deliveries).where(mine).values(state=WAITING, round=0, due_at=now_ms, leased_until=0)
        )
    await add_deliveries(
        connection, [make_delivery(endpoint, number, now_ms) for number in numbers if number not in known]
    )


def _is_among(connection: AsyncConnection, endpoint: str, numbers: Sequence[int]) -> ColumnElement[bool]:
    is_one = is_one_of(deliveries.c.number, numbers, is_postgres=is_postgres(connection))
    return (deliveries.c.endpoint == endpoint) & is_one


_TRIED = (
    "UPDATE deliveries SET state = tried.now_state, attempts = deliveries.attempts + 1, round = deliveries.round + 1,"
    " due_at = tried.due, leased_until = 0, tried_at = tried.at, took_ms = tried.took, status = tried.http,"
    " error = tried.why, answer = CASE WHEN deliveries.is_erased THEN NULL ELSE tried.said END"
)
_IN_ONE_STATEMENT = text(
    f"{_TRIED} FROM json_to_recordset(CAST(:tried AS json)) AS tried(of text, one bigint, now_state text, due bigint,"
    " at bigint, took integer, http integer, why text, said text)"
    " WHERE deliveries.endpoint = tried.of AND deliveries.number = tried.one"
    " AND deliveries.endpoint = ANY(CAST(:endpoints AS text[])) AND deliveries.number BETWEEN :lowest AND :highest"
)
"""PostgreSQL's: one statement, however many there are. Its last line says nothing new but where to look: by the join
alone the planner reads the whole table while it is small, which costs as much as all else.
"""


async def _write_all(connection: AsyncConnection, tried: Sequence[dict[str, Any]]) -> None:
    if is_postgres(connection):
        numbers = [one["one"] for one in tried]
        given = {"tried": to_json(tried).decode(), "endpoints": sorted({one["of"] for one in tried})}
        await connection.execute(_IN_ONE_STATEMENT, given | {"lowest": min(numbers), "highest": max(numbers)})
        return
    change = (
        update(deliveries)
        .where(deliveries.c.endpoint == bindparam("of"), deliveries.c.number == bindparam("one"))
        .values(
            state=bindparam("now_state"),
            attempts=deliveries.c.attempts + 1,
            round=deliveries.c.round + 1,
            due_at=bindparam("due"),
            leased_until=0,
            tried_at=bindparam("at"),
            took_ms=bindparam("took"),
            status=bindparam("http"),
            error=bindparam("why"),
            answer=case((deliveries.c.is_erased, None), else_=bindparam("said")),
        )
    )
    await connection.execute(change, tried)


def _write(one: Attempt) -> dict[str, Any]:
    state = WAITING if one.due_at is not None else DELIVERED if one.answer.is_success else FAILED
    return {
        "of": one.endpoint,
        "one": one.number,
        "now_state": state,
        "due": one.due_at or 0,
        "at": one.at,
        "took": one.answer.took_ms,
        "http": one.answer.status,
        "why": one.answer.error and one.answer.error.replace("\0", "\ufffd"),
        "said": one.answer.body,
    }


def _show(row: Any) -> dict[str, Any]:  # noqa: ANN401  a row's mapping
    return {
        "event": row["event"],
        "type": row["type"],
        "state": row["state"],
        "attempts": row["attempts"],
        "status": row["status"],
        "error": row["error"],
        "answer": row["answer"],
        "took_ms": row["took_ms"],
        "tried_at": rfc3339_or_none(row["tried_at"]),
        "next_at": rfc3339(row["due_at"]) if row["state"] == WAITING else None,
        "created_at": rfc3339(row["kept_at"]),
        "body": row["body"],
    }


def write_cursor(number: int) -> str:
    """Make the cursor of a place among deliveries."""
    return base64.urlsafe_b64encode(number.to_bytes(NUMBER_BYTES, "big")).rstrip(b"=").decode()


def read_cursor(cursor: str) -> int:
    """Read the cursor of a place among deliveries. Raises Refusal."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != NUMBER_BYTES or raw[0] > 0x7F:  # noqa: PLR2004  the sign of a 64-bit number
        raise Refusal(
            "wrong_type",
            field="cursor",
            why_zh="应原样填写上一页返回的 next，第一页不填",
            why_en="it must be the `next` of the page before, unchanged; leave it out for the first page",
        )
    return int.from_bytes(raw, "big")
