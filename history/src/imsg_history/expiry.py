"""Messages of a paused channel whose time is over: no sender consumes them, so history lets them expire."""

import asyncio
import contextlib
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
from imsg_history.writer import BatchWriter
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

EVERY_S = 5.0

GRACE = timedelta(seconds=5)
"""By so much our clock may be ahead of the senders', by which they expire what they consume."""

MOST_EXTENSION = timedelta(hours=24)
"""By how much a message that waited for a block may live longer (promise 5); by how much it does only its job says."""

AT_ONCE = 500

DETAIL = "Its time was over before it could be sent: its channel was paused."


@dataclass(frozen=True, slots=True)
class PausedExpiry:
    """Looks again and again whether a channel is paused, and expires what waits there for too long.

    Should a sender send one of them all the same, what its provider said stands above this.
    """

    database: Database
    redis: Redis
    writer: BatchWriter
    methods: Sequence[str]
    now: Callable[[], datetime]

    async def run(self, stopping: asyncio.Event) -> None:
        """Look until `stopping`."""
        trouble = Recurring(log, "paused_channels_not_expired")
        while not stopping.is_set():
            try:
                await self.once()
            except (DatabaseUnavailable, BadRow, RedisUnavailable, RedisRefused) as error:
                trouble.note(error)
            else:
                trouble.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await stopping.wait()

    async def once(self) -> int:
        """Expire what is late now; return how much. Raises what can be away."""
        count = 0
        for method in self.methods:
            if await self.redis.call("HGET", channel_key(method), "paused") != b"1":
                continue
            count += await self._expire(method)
        return count

    async def _expire(self, method: str) -> int:
        count, after = 0, ("0" * 32, -1)
        while rows := await self.database.read(lambda connection: self._find(connection, method, after)):  # noqa: B023
            await self.writer.record(Outcomes(outcomes=tuple(map(_expire, rows))))
            count, after = count + len(rows), (rows[-1].request, rows[-1].n)
        if count:
            log.info("expired", method=method, messages=count, why="the channel is paused")
        return count

    async def _find(self, connection: AsyncConnection, method: str, after: tuple[str, int]) -> Sequence[Row[Any]]:
        late = self.now() - GRACE
        is_next = tuple_(messages.c.request, messages.c.n) > after
        found = (
            select(messages.c.request, messages.c.n, requests.c.expires_at)
            .join(requests, requests.c.request == messages.c.request)
            .where(messages.c.method == method, is_next, or_(_waits(late), _comes_again(late)))
            .order_by(messages.c.request, messages.c.n)
            .limit(AT_ONCE)
        )
        return list(await connection.execute(found))


def _waits(late: datetime) -> ColumnElement[bool]:
    return and_(messages.c.status == Status.QUEUED.value, requests.c.expires_at < late)


def _comes_again(late: datetime) -> ColumnElement[bool]:
    """Tell which retried messages are late: by their time those that never waited for a block, a day later the rest."""
    lines = select(func.count()).where(attempts.c.request == messages.c.request, attempts.c.n == messages.c.n)
    never_blocked = lines.scalar_subquery() <= messages.c.attempts
    is_late = or_(and_(requests.c.expires_at < late, never_blocked), requests.c.expires_at < late - MOST_EXTENSION)
    return and_(messages.c.status == Status.RETRYING.value, is_late)


def _expire(row: Row[Any]) -> Outcome:
    """Make the outcome; its time is that of the message, so that to make it twice changes nothing."""
    return Outcome(
        request=row.request,
        n=row.n,
        attempt=NO_ATTEMPT,
        status=Status.EXPIRED,
        code="expired",
        detail=DETAIL,
        at=row.expires_at,
    )
