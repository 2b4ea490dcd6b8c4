"""The deliveries of events to endpoints: leases due ones, records attempts, lists and resends."""

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

WriteDisabledEvent = Callable[[Endpoint, str, int], LoggedEvent]
"""Makes the `callback.disabled` event of an endpoint: the endpoint, the reason, the time (Unix ms)."""


class DeliveryLog:
    """The deliveries in a database. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, now: Callable[[], int], write_disabled: WriteDisabledEvent) -> None:
        self._database = database
        self._now = now
        self._write_disabled = write_disabled

    async def find_due(self) -> dict[str, int]:
        """Return the enabled endpoints with a due delivery: id → how often its calls failed in a row.

        It reads one entry of the index `deliveries_due` for each endpoint.
        """
        now = self._now()
        has_due = exists().where(
            deliveries.c.endpoint == endpoints.c.id,
            IS_WAITING,
            deliveries.c.due_at <= now,
            deliveries.c.leased_until <= now,
        )
        async with self._database.reading() as connection:
            query = select(endpoints.c.id, endpoints.c.failures).where(endpoints.c.disabled_at.is_(None), has_due)
            return dict((await connection.execute(query)).all())

    async def lease(self, name: str, max_count: int, lease_ms: int) -> list[DueDelivery]:
        """Lease due deliveries of an endpoint, the longest due first: no other process sends them until the lease ends.

        An unknown or disabled endpoint has none.
        """
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
        change = (
            update(deliveries)
            .where(deliveries.c.endpoint == name, deliveries.c.number.in_(select(due.c.number)))
            .values(leased_until=now + lease_ms)
            .returning(deliveries.c.number, deliveries.c.round)
        )
        async with self._database.writing() as connection:
            row = (await connection.execute(select(endpoints).where(endpoints.c.id == name))).mappings().first()
            if row is None or row["disabled_at"] is not None:
                return []
            rounds: dict[int, int] = dict((await connection.execute(change)).all())
            if not rounds:
                return []
            is_due = is_one_of(log.c.number, list(rounds), is_postgres=is_postgres(connection))
            query = select(log.c.number, log.c.id, log.c.body).where(is_due).order_by(log.c.number)
            events = (await connection.execute(query)).all()
        endpoint = read_endpoint(row)
        return [DueDelivery(endpoint, event.number, event.id, event.body, rounds[event.number]) for event in events]

    async def settle(self, attempts: Sequence[Attempt]) -> list[tuple[Endpoint, str]]:
        """Record attempts; return the endpoints that they disabled, each with the reason."""
        async with self._database.writing() as connection:
            await _record_attempts(connection, [_as_parameters(attempt) for attempt in attempts])
            by_endpoint: defaultdict[str, list[Attempt]] = defaultdict(list)
            for attempt in attempts:
                by_endpoint[attempt.endpoint].append(attempt)
            failing = sorted(
                name
                for name, of_endpoint in by_endpoint.items()
                if not all(attempt.reply.is_success for attempt in of_endpoint)
            )
            successful = sorted(by_endpoint.keys() - set(failing))
            await _record_success(connection, successful, max(attempt.at for attempt in attempts))
            disabled = [await self._record_failures(connection, name, by_endpoint[name]) for name in failing]
        return [pair for pair in disabled if pair is not None]

    async def _record_failures(
        self, connection: AsyncConnection, name: str, attempts: Sequence[Attempt]
    ) -> tuple[Endpoint, str] | None:
        """Update an endpoint by its attempts, of which some failed; disable it if `must_disable` says so.

        Return the endpoint and the reason if it was disabled.
        """
        row = (
            (await connection.execute(select(endpoints).where(endpoints.c.id == name).with_for_update()))
            .mappings()
            .first()
        )
        if row is None:
            return None
        known, values, why = read_endpoint(row), dict[str, Any](), None
        for attempt in sorted(attempts, key=lambda attempt: attempt.at):
            if attempt.reply.is_success:
                values |= {"failing_since": None, "failures": 0, "reached_at": attempt.at, "last_error": None}
                continue
            since = values.get("failing_since", known.failing_since) or attempt.at
            failures = values.get("failures", known.failures) + 1
            values |= {"failing_since": since, "failures": failures, "last_error": attempt.reply.error}
            why = why or must_disable(attempt.reply, since, attempt.at)
        is_disabled = why is not None and known.disabled_at is None and values.get("failing_since") is not None
        if is_disabled:
            values |= {"disabled_at": self._now(), "disabled_why": why}
        await connection.execute(update(endpoints).where(endpoints.c.id == name).values(values))
        if not is_disabled or why is None:
            return None
        event = self._write_disabled(known, why, self._now())
        await append(connection, [event], self._now(), excluding=(name,))
        return known, why

    async def list_page(
        self, endpoint: str, state: str | None, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """List an endpoint's deliveries, the newest event first; return them and the cursor of the next page, or None.

        Raises Refusal wrong_type for a cursor that `write_cursor` did not make.
        """
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
        has_more = len(rows) > limit
        shown = [_show(row) for row in rows[:limit]]
        return shown, write_cursor(rows[limit - 1]["number"]) if has_more else None

    async def resend(self, endpoint: str, event: str) -> None:
        """Make the delivery of one event due now, with a new schedule. Raises Refusal not_found."""
        async with self._database.writing() as connection:
            number = await connection.scalar(
                select(log.c.number)
                .join(deliveries, deliveries.c.number == log.c.number)
                .where(log.c.id == event, deliveries.c.endpoint == endpoint)
            )
            if number is None:
                raise Refusal("not_found", what=event[:80])
            await make_due(connection, endpoint, [number], self._now())


async def _record_success(connection: AsyncConnection, names: Sequence[str], at: int) -> None:
    """Record the success of endpoints that accepted all their calls."""
    if names:
        change = update(endpoints).where(is_one_of(endpoints.c.id, names, is_postgres=is_postgres(connection)))
        await connection.execute(change.values(failing_since=None, failures=0, reached_at=at, last_error=None))


async def make_due(connection: AsyncConnection, endpoint: str, numbers: Sequence[int], now_ms: int) -> None:
    """Make deliveries due now: reset those that exist, and add the others."""
    is_wanted = _is_among(connection, endpoint, numbers)
    known = set((await connection.execute(select(deliveries.c.number).where(is_wanted))).scalars())
    if known:
        await connection.execute(
            update(deliveries).where(is_wanted).values(state=WAITING, round=0, due_at=now_ms, leased_until=0)
        )
    await add_deliveries(
        connection, [make_delivery(endpoint, number, now_ms) for number in numbers if number not in known]
    )


def _is_among(connection: AsyncConnection, endpoint: str, numbers: Sequence[int]) -> ColumnElement[bool]:
    is_numbered = is_one_of(deliveries.c.number, numbers, is_postgres=is_postgres(connection))
    return (deliveries.c.endpoint == endpoint) & is_numbered


_SET_COLUMNS = (
    "UPDATE deliveries SET state = tried.now_state, attempts = deliveries.attempts + 1, round = deliveries.round + 1,"
    " due_at = tried.due, leased_until = 0, tried_at = tried.at, took_ms = tried.took, status = tried.http,"
    " error = tried.why, answer = CASE WHEN deliveries.is_erased THEN NULL ELSE tried.body END"
)
_RECORD_ATTEMPTS = text(
    f"{_SET_COLUMNS} FROM json_to_recordset(CAST(:tried AS json)) AS tried(to_endpoint text, event_number bigint,"
    " now_state text, due bigint, at bigint, took integer, http integer, why text, body text)"
    " WHERE deliveries.endpoint = tried.to_endpoint AND deliveries.number = tried.event_number"
    " AND deliveries.endpoint = ANY(CAST(:endpoints AS text[])) AND deliveries.number BETWEEN :lowest AND :highest"
)
"""PostgreSQL updates all deliveries in one statement. The bounds of the last line only help the planner: by the join
alone it reads the whole table while that is small.
"""


async def _record_attempts(connection: AsyncConnection, attempts: Sequence[dict[str, Any]]) -> None:
    if is_postgres(connection):
        numbers = [row["event_number"] for row in attempts]
        parameters = {
            "tried": to_json(attempts).decode(),
            "endpoints": sorted({row["to_endpoint"] for row in attempts}),
            "lowest": min(numbers),
            "highest": max(numbers),
        }
        await connection.execute(_RECORD_ATTEMPTS, parameters)
        return
    is_tried = (deliveries.c.endpoint == bindparam("to_endpoint")) & (deliveries.c.number == bindparam("event_number"))
    change = (
        update(deliveries)
        .where(is_tried)
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
            answer=case((deliveries.c.is_erased, None), else_=bindparam("body")),
        )
    )
    await connection.execute(change, attempts)


def _as_parameters(attempt: Attempt) -> dict[str, Any]:
    reply = attempt.reply
    state = WAITING if attempt.due_at is not None else DELIVERED if reply.is_success else FAILED
    return {
        "to_endpoint": attempt.endpoint,
        "event_number": attempt.number,
        "now_state": state,
        "due": attempt.due_at or 0,
        "at": attempt.at,
        "took": reply.took_ms,
        "http": reply.status,
        "why": reply.error and reply.error.replace("\0", "\ufffd"),
        "body": reply.body,
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
    """Write the number of an event as a cursor."""
    return base64.urlsafe_b64encode(number.to_bytes(NUMBER_BYTES, "big")).rstrip(b"=").decode()


def read_cursor(cursor: str) -> int:
    """Read the number of an event from a cursor. Raises Refusal wrong_type."""
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
