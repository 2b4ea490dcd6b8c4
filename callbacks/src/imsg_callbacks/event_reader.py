"""Reads a user's events after a cursor, and waits for new ones (long polling)."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select

from imsg_callbacks.event_log import find_head
from imsg_callbacks.tables import REMOVED, facts, log
from imsg_callbacks.vault import Vault
from imsg_contract.errors import Refusal
from imsg_database.database import Database
from imsg_limits.concurrent_requests import ConcurrentRequests

MAX_WAITING_READS = 8
"""Concurrent waiting reads of one user at one process; each queries the log at every append of the user's events."""

OVER_LIMIT_WAIT_S = 1.0
"""How long a read above that limit waits, so that clients do not call again at once."""

WAKE_EVERY_S = 1.0
"""How often waiting reads query the log for appends of other processes; this process wakes them at once."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """The bodies of some events (JSON), and the cursor after them."""

    bodies: list[str]
    next: str


class EventReader:
    """Reads the log for users. Methods raise DatabaseUnavailable."""

    def __init__(self, database: Database, vault: Vault, stopping: asyncio.Event) -> None:
        self._database = database
        self._vault = vault
        self._stopping = stopping
        self._appended: dict[str, asyncio.Event] = {}
        """User → what is set once there may be something new of theirs."""
        self._readers = ConcurrentRequests()

    def wake(self, users: Iterable[str] | None = None) -> None:
        """Wake the waiting reads of some users; of all users if `users` is None."""
        for user_id in list(self._appended if users is None else users):
            if (appended := self._appended.pop(user_id, None)) is not None:
                appended.set()

    async def watch(self, stopping: asyncio.Event) -> None:
        """Wake all waiting reads every second, and once `stopping` is set."""
        while not stopping.is_set():
            try:
                async with asyncio.timeout(WAKE_EVERY_S):
                    await stopping.wait()
            except TimeoutError:
                self.wake()
        self.wake()

    async def read(self, user_id: str, after: str | None, wait_s: float, limit: int) -> EventPage:
        """Return a user's events after a cursor (None: from the oldest), waiting up to `wait_s` for the first one.

        Above `MAX_WAITING_READS` concurrent reads a user waits a second at most. Raises Refusal wrong_type for an
        invalid cursor, and cursor_expired if events after it were removed.
        """
        with self._readers.count(user_id) as count:
            number = await self._find_start(after)
            if count > MAX_WAITING_READS:
                await asyncio.sleep(min(wait_s, OVER_LIMIT_WAIT_S))
                wait_s = 0.0
            try:
                return await self._wait(user_id, number, wait_s, limit)
            finally:
                if self._readers.of(user_id) == 1:
                    self._appended.pop(user_id, None)

    async def _wait(self, user_id: str, number: int, wait_s: float, limit: int) -> EventPage:
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_s
        while True:
            appended = self._appended.setdefault(user_id, asyncio.Event())
            bodies, number = await self._query(user_id, number, limit)
            left_s = end - loop.time()
            if bodies or left_s <= 0 or self._stopping.is_set():
                return EventPage(bodies, self._vault.write_cursor(number))
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await appended.wait()

    async def _find_start(self, after: str | None) -> int:
        async with self._database.reading() as connection:
            removed = int(await connection.scalar(select(facts.c.value).where(facts.c.name == REMOVED)) or 0)
            if after is None:
                return removed
            number = self._vault.read_cursor(after)
            if number is None:
                raise Refusal(
                    "wrong_type",
                    field="after",
                    why_zh="应原样填写上次返回的 next，第一次不填",
                    why_en="it must be the `next` of the previous answer, unchanged; leave it out the first time",
                )
            # A cursor above the head is older than a restore from a backup, after which numbers are reused.
            if number < removed or number > max(removed, await find_head(connection)):
                raise Refusal("cursor_expired")
        return number

    async def _query(self, user_id: str, after: int, limit: int) -> tuple[list[str], int]:
        """Return bodies, and the number up to which all events of the user were read."""
        async with self._database.reading() as connection:
            head = max(
                after, await find_head(connection)
            )  # read before the rows, so that later appends are not skipped
            query = (
                select(log.c.number, log.c.body)
                .where(log.c.user_id == user_id, log.c.number > after, log.c.number <= head)
                .order_by(log.c.number)
                .limit(limit)
            )
            rows = (await connection.execute(query)).all()
        return [row.body for row in rows], (rows[-1].number if len(rows) == limit else head)
