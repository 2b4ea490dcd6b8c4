"""Writes events for administrators, from what senders record in Redis.

A channel is blocked or opens again, or a provider needs attention.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import ColumnElement, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_callbacks.event_log import append, insert_ignoring
from imsg_callbacks.listeners import READER_EXPIRES_AFTER_MS
from imsg_callbacks.records import LoggedEvent
from imsg_callbacks.tables import attention, channels, endpoints, listeners
from imsg_callbacks.times import rfc3339
from imsg_contract.provider_accounts import AccountState, Attention
from imsg_contract.topology import attention_key, channel_key
from imsg_database.database import Database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

CHECK_EVERY_S = 2.0
OPEN, BLOCKED = "open", "blocked"

FORGET_AFTER_MS = 10 * 60_000
"""How long something is known after it is gone: Redis may have been flushed, and senders then look again."""


class ProviderCondition(NamedTuple):
    """A condition of an account that its sender has reported."""

    method: str
    provider: str
    code: str


@dataclass(frozen=True, slots=True)
class ChannelWatch:
    """Watches channels and providers. Of several processes, the first that records a change writes its events."""

    database: Database
    redis: Redis
    methods: Sequence[str]
    now: Callable[[], int]
    wake: Callable[[], None]

    async def run(self, stopping: asyncio.Event) -> None:
        """Check until `stopping`."""
        while not stopping.is_set():
            with suppress(RedisUnavailable, RedisRefused, DatabaseUnavailable):  # the next check finds the change
                await self.check()
                await self.check_providers()
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
        data = {"method": method, "state": state, "why": why}
        return await _append_events(connection, f"channel.{state}", f"{method}-{state}", data, now)

    async def check_providers(self) -> None:
        """Check what senders have found at providers. Raises RedisUnavailable, DatabaseUnavailable."""
        states = {method: await self.redis.call("HGETALL", attention_key(method)) for method in self.methods}
        faults = {
            ProviderCondition(method, provider.decode(), attention.trouble.code): attention
            for method, read in states.items()
            for provider, text in read.items()
            for attention in AccountState.model_validate_json(text).found
        }
        async with self.database.reading() as connection:
            rows = (await connection.execute(select(attention))).all()
        now = self.now()
        there = {ProviderCondition(row.method, row.provider, row.code) for row in rows if row.gone_at is None}
        gone = there - faults.keys()
        is_forgotten = any(row.gone_at is not None and row.gone_at <= now - FORGET_AFTER_MS for row in rows)
        new = faults.keys() - there
        if not (new or gone or is_forgotten):
            return
        async with self.database.writing() as connection:
            await connection.execute(delete(attention).where(attention.c.gone_at <= now - FORGET_AFTER_MS))
            for key in gone:
                await connection.execute(update(attention).where(_is(key)).values(gone_at=now))
            has_events = [await self._record_found(connection, key, faults[key], now) for key in sorted(new)]
        if any(has_events):
            self.wake()

    async def _record_found(
        self, connection: AsyncConnection, condition: ProviderCondition, what: Attention, now: int
    ) -> bool:
        """Record what was found and, if it is new, an event for each listening administrator, as above."""
        if not (await connection.execute(insert_ignoring(connection, attention).values(condition._asdict()))).rowcount:
            await connection.execute(update(attention).where(_is(condition)).values(gone_at=None))
            return False
        trouble = what.trouble
        data = condition._asdict() | {
            "since": rfc3339(int(what.since.timestamp() * 1000)),
            "what": {"zh": trouble.zh, "en": trouble.en},
            "remedy": {"zh": trouble.remedy_zh, "en": trouble.remedy_en},
        }
        return await _append_events(connection, "provider.attention", "-".join(condition), data, now)


def _is(condition: ProviderCondition) -> ColumnElement[bool]:
    return tuple_(attention.c.method, attention.c.provider, attention.c.code) == condition


async def _append_events(connection: AsyncConnection, kind: str, what: str, data: Mapping[str, Any], now: int) -> bool:
    """Append an event for each listening administrator; return whether there is one."""
    owners = select(endpoints.c.user_id).where(endpoints.c.is_admin)
    readers = select(listeners.c.user_id).where(
        listeners.c.is_admin, listeners.c.read_at > now - READER_EXPIRES_AFTER_MS
    )
    users = sorted((await connection.execute(owners.union(readers))).scalars())
    events = [_write_event(user, kind, what, data, now) for user in users]
    return bool((await append(connection, events, now)).numbers)


def _write_event(user_id: str, kind: str, what: str, data: Mapping[str, Any], now: int) -> LoggedEvent:
    """Make one administrator's event at `now` (Unix ms)."""
    name = f"evt_{hashlib.sha256(f'{kind} {what} {now} {user_id}'.encode()).hexdigest()[:32]}"
    body = to_json({"id": name, "type": kind, "timestamp": rfc3339(now), "data": data}).decode()
    return LoggedEvent(name, kind, user_id, data["method"], body)
