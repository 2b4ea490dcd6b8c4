"""Expiry of messages in paused channels: no sender consumes them, so history settles them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.topology import channel_key
from imsg_contract.wire import Outcome, Outcomes, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.merge import NO_ATTEMPT
from imsg_history.tables import attempts, messages, requests
from imsg_history.waiting import wait_for_any
from imsg_history.writer import BatchWriter
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

INTERVAL_S = 5.0

GRACE = timedelta(seconds=5)
"""By how much this clock may be ahead of the senders', which expire the messages of open channels."""

MAX_EXTENSION = timedelta(hours=24)
"""By how much a message that waited for a block may live longer (promise 5); only its job says by how much it does."""

BATCH = 500

DETAIL = "Its time was over before it could be sent: its channel was paused."


@dataclass(frozen=True, slots=True)
class PausedExpiry:
    """Expires the messages of paused channels.

    If a sender sends one of them all the same, the provider's result has precedence.
    """

    database: Database
    redis: Redis
    writer: BatchWriter
    methods: Sequence[str]
    now: Callable[[], datetime]

    async def run(self, stopping: asyncio.Event) -> None:
        """Check the channels until `stopping`."""
        problem = RecurringProblem(log, "paused_channels_not_expired")
        while not stopping.is_set():
            with problem.catch(DatabaseUnavailable, BadRow, RedisUnavailable, RedisRefused):
                await self.run_once()
            await wait_for_any(stopping, within_s=INTERVAL_S)

    async def run_once(self) -> int:
        """Expire late messages; return their number.

        Raises DatabaseUnavailable, BadRow, RedisUnavailable, RedisRefused.
        """
        count = 0
        for method in self.methods:
            if await self.redis.call("HGET", channel_key(method), "paused") != b"1":
                continue
            count += await self._expire(method)
        return count

    async def _expire(self, method: str) -> int:
        count, after = 0, ("0" * 32, -1)
        while rows := await self.database.read(lambda connection: self._find(connection, method, after)):  # noqa: B023
            await self.writer.write_outcomes(Outcomes(outcomes=tuple(map(_make_outcome, rows))))
            count, after = count + len(rows), (rows[-1].request, rows[-1].n)
            about = list(dict.fromkeys(row.request for row in rows))
            log.info("expired", method=method, requests=about, why="the channel is paused")
        return count

    async def _find(self, connection: AsyncConnection, method: str, after: tuple[str, int]) -> Sequence[Row[Any]]:
        late = self.now() - GRACE
        is_next = tuple_(messages.c.request, messages.c.n) > after
        statement = (
            select(messages.c.request, messages.c.n, requests.c.expires_at)
            .join(requests, requests.c.request == messages.c.request)
            .where(messages.c.method == method, is_next, or_(_is_waiting(late), _is_retried(late)))
            .order_by(messages.c.request, messages.c.n)
            .limit(BATCH)
        )
        return list(await connection.execute(statement))


def _is_waiting(late: datetime) -> ColumnElement[bool]:
    return and_(messages.c.status == Status.QUEUED.value, requests.c.expires_at < late)


def _is_retried(late: datetime) -> ColumnElement[bool]:
    """Return whether a retried message is late: one that waited for a block may live a day longer."""
    lines = select(func.count()).where(attempts.c.request == messages.c.request, attempts.c.n == messages.c.n)
    never_blocked = lines.scalar_subquery() <= messages.c.attempts
    is_late = or_(and_(requests.c.expires_at < late, never_blocked), requests.c.expires_at < late - MAX_EXTENSION)
    return and_(messages.c.status == Status.RETRYING.value, is_late)


def _make_outcome(row: Row[Any]) -> Outcome:
    """Make the outcome, with the message's own time: the same outcome again changes nothing."""
    return Outcome(
        request=row.request,
        n=row.n,
        attempt=NO_ATTEMPT,
        status=Status.EXPIRED,
        code="expired",
        detail=DETAIL,
        at=row.expires_at,
    )
