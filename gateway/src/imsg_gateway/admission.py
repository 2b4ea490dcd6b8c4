"""How many requests are being accepted at once, and how many of them are one user's: a flood waits behind itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imsg_contract.errors import Refusal

AT_ONCE = 96
"""Requests between their charge and their confirm. More of them share no more round trips, and whoever comes last waits
for the loop to get through all of them, a step at a time."""

OF_ONE_USER = 64
"""So others find room at once, whatever one sends."""

PATIENCE_S = 5.0
"""How long a request waits for its turn; the idempotency key that it may hold is its own for longer."""

RETRY_AFTER_S = 2


@dataclass(slots=True)
class _Share:
    """One user's."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OF_ONE_USER))
    inside: int = 0
    """Those who have it or wait for it."""


class Admission:
    """Lets requests in: of each user in the order of their coming. Codes are few, and don't ask."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)
        self._shares: dict[str, _Share] = {}
        self._patience_s = patience_s

    def is_empty(self) -> bool:
        """Tell whether nobody is inside or waits."""
        return not self._shares

    @asynccontextmanager
    async def of(self, username: str) -> AsyncIterator[None]:
        """Be inside, as one of a user's. Raises Refusal overloaded for who waited in vain."""
        share = self._shares.setdefault(username, _Share())
        share.inside += 1
        try:
            if share.room.locked() or self._room.locked():
                await self._wait(share)
            else:
                await share.room.acquire()
                await self._room.acquire()
            try:
                yield
            finally:
                self._room.release()
                share.room.release()
        finally:
            share.inside -= 1
            if not share.inside:
                del self._shares[username]

    async def _wait(self, share: _Share) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await share.room.acquire()
                try:
                    await self._room.acquire()
                except BaseException:
                    share.room.release()
                    raise
        except TimeoutError as late:
            raise Refusal("overloaded", retry_after_s=RETRY_AFTER_S) from late
