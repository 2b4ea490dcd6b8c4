"""How many requests are being accepted at once, and how many of them are one user's: a flood waits behind itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

AT_ONCE = 96
"""Requests between their charge and their confirm. More of them share no more round trips, and whoever comes last waits
for the loop to get through all of them, a step at a time."""

OF_ONE_USER = 64
"""So others find room at once, whatever one sends."""


@dataclass(slots=True)
class _Share:
    """One user's."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OF_ONE_USER))
    inside: int = 0
    """Those who have it or wait for it."""


class Admission:
    """Lets requests in: of each user in the order of their coming."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def of(self, username: str) -> AsyncIterator[None]:
        """Be inside, as one of a user's."""
        share = self._shares.setdefault(username, _Share())
        share.inside += 1
        try:
            async with share.room, self._room:
                yield
        finally:
            share.inside -= 1
            if not share.inside:
                del self._shares[username]
