"""Reads a user's events from a cursor on, and waits for new ones."""

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

MOST_WAITING = 8
"""How often a user may wait at once, at one process: each looks at the log whenever something of theirs is appended."""

CROWDED_S = 1.0
"""How long a reader above the limit waits for an answer; without it clients would ask again at once."""

LOOK_EVERY_S = 1.0
"""How often the log is looked at that another process may append to; our own appends say so at once."""


@dataclass(frozen=True, slots=True)
class Read:
    """Some events, and where to go on."""

    bodies: list[str]
    next: str


class Reader:
    """Reads the log for users. Raises DatabaseUnavailable."""

    def __init__(self, database: Database, vault: Vault, stopping: asyncio.Event) -> None:
        self._database = database
        self._vault = vault
        self._stopping = stopping
        self._news: dict[str, asyncio.Event] = {}
        """User → what is set once there may be something new of theirs."""
        self._readers = ConcurrentRequests()

    def wake(self, users: Iterable[str] | None = None) -> None:
        """Say that something was appended of some users; of anybody's, where they are not named."""
        for user_id in list(self._news if users is None else users):
            if (news := self._news.pop(user_id, None)) is not None:
                news.set()

    async def watch(self, stopping: asyncio.Event) -> None:
        """Look, while anybody waits, whether another process has appended; and let all go at the end."""
        while not stopping.is_set():
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stopping.wait()
            except TimeoutError:
                self.wake()
        self.wake()

    async def read(self, user_id: str, after: str | None, wait_s: float, limit: int) -> Read:
        """Return a user's events after a cursor, or from the oldest that is kept; wait where there are none yet.

        Who waits `MOST_WAITING` times already is answered within a second. Raises Refusal wrong_type, and
        cursor_expired where some of what came after it is gone.
        """
        with self._readers.count(user_id) as count:
            number = await self._begin(after)
            if count > MOST_WAITING:
                await asyncio.sleep(min(wait_s, CROWDED_S))
                wait_s = 0.0
            try:
                return await self._wait(user_id, number, wait_s, limit)
            finally:
                if self._readers.of(user_id) == 1:
                    self._news.pop(user_id, None)

    async def _wait(self, user_id: str, number: int, wait_s: float, limit: int) -> Read:
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_s
        while True:
            news = self._news.setdefault(user_id, asyncio.Event())
            bodies, number = await self._look(user_id, number, limit)
            left_s = end - loop.time()
            if bodies or left_s <= 0 or self._stopping.is_set():
                return Read(bodies, self._vault.write_cursor(number))
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await news.wait()

    async def _begin(self, after: str | None) -> int:
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
                    why_en="it must be the `next` of the answer before, unchanged; leave it out the first time",
                )
            # Above the head: the log was restored from a backup, and its numbers are given again.
            if number < removed or number > max(removed, await find_head(connection)):
                raise Refusal("cursor_expired")
        return number

    async def _look(self, user_id: str, after: int, limit: int) -> tuple[list[str], int]:
        """Return events, and the number up to which nothing of the user's is left unseen."""
        async with self._database.reading() as connection:
            head = max(after, await find_head(connection))  # before the rows: what is appended between is seen next
            query = (
                select(log.c.number, log.c.body)
                .where(log.c.user_id == user_id, log.c.number > after, log.c.number <= head)
                .order_by(log.c.number)
                .limit(limit)
            )
            rows = (await connection.execute(query)).all()
        return [row.body for row in rows], (rows[-1].number if len(rows) == limit else head)
