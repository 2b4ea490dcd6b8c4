"""Writes events for administrators when a channel is blocked or opens again, as its sender records it in Redis."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic_core import to_json
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_callbacks.event_log import append, insert_ignoring
from imsg_callbacks.listeners import READER_EXPIRES_AFTER_MS
from imsg_callbacks.records import LoggedEvent
from imsg_callbacks.tables import channels, endpoints, listeners
from imsg_callbacks.times import rfc3339
from imsg_contract.topology import channel_key
from imsg_database.database import Database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

CHECK_EVERY_S = 2.0
OPEN, BLOCKED = "open", "blocked"


@dataclass(frozen=True, slots=True)
class ChannelWatch:
    """Watches the channels' states. Of several processes, the first that records a change writes its events."""

    database: Database
    redis: Redis
    methods: Sequence[str]
    now: Callable[[], int]
    wake: Callable[[], None]

    async def run(self, stopping: asyncio.Event) -> None:
        """Check the channels until `stopping`."""
        while not stopping.is_set():
            with suppress(RedisUnavailable, RedisRefused, DatabaseUnavailable):  # the next check finds the change
                await self.check()
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await stopping.wait()

    async def check(self) -> None:
        """Check the channels once. Raises RedisUnavailable, DatabaseUnavailable."""
        replies = {
            method: await self.redis.call("HMGET", channel_key(method), "state", "why") for method in self.methods
        }
        states = {method: (BLOCKED if state == b"blocked" else OPEN, why) for method, (state, why) in replies.items()}
        async with self.database.reading() as connection:
            known = {row.method: row.state for row in await connection.execute(select(channels))}
        if all(known.get(method, OPEN) == state for method, (state, _) in states.items()):
            return
        async with self.database.writing() as connection:
            has_events = [
                await self._record_change(
                    connection, method, state, why.decode(errors="replace") if why and state == BLOCKED else None
                )
                for method, (state, why) in states.items()
            ]
        if any(has_events):
            self.wake()

    async def _record_change(self, connection: AsyncConnection, method: str, state: str, why: str | None) -> bool:
        """Record a channel's state and, if it has changed, an event for each listening administrator.

        Return whether an event was appended.
        """
        await connection.execute(insert_ignoring(connection, channels).values(method=method, state=OPEN))
        change = update(channels).where(channels.c.method == method, channels.c.state != state).values(state=state)
        if not (await connection.execute(change)).rowcount:
            return False
        now = self.now()
        owners = select(endpoints.c.user_id).where(endpoints.c.is_admin)
        readers = select(listeners.c.user_id).where(
            listeners.c.is_admin, listeners.c.read_at > now - READER_EXPIRES_AFTER_MS
        )
        users = await connection.execute(owners.union(readers))
        events = [write_event(user, method, state, why, now) for user in sorted(users.scalars())]
        return bool((await append(connection, events, now)).numbers)


def write_event(user_id: str, method: str, state: str, why: str | None, now: int) -> LoggedEvent:
    """Make one administrator's event of a channel's change at `now` (Unix ms)."""
    name, kind = f"evt_{method}-{state}-{now}-{user_id}", f"channel.{state}"
    data = {"method": method, "state": state, "why": why}
    body = to_json({"id": name, "type": kind, "timestamp": rfc3339(now), "data": data}).decode()
    return LoggedEvent(name, kind, user_id, method, body)
