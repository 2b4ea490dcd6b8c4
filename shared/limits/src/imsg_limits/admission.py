"""How many requests are being accepted at once, and how many of them are one user's: a flood waits behind itself."""

import asyncio
from dataclasses import dataclass, field

from imsg_contract.errors import Refusal
from imsg_limits.lag_throttle import LagThrottle

AT_ONCE = 96
"""Requests between their charge and their confirm. More of them share no more round trips, and whoever comes last waits
for the loop to get through all of them, a step at a time."""

OF_ONE_USER = 64
"""So others find room at once, whatever one sends."""

FEW = 8
"""Requests of one user at once that are no flood yet: they pause for nobody."""

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
    """Lets requests in: of each user in the order of their coming. Codes are few, and don't ask.

    While codes are about and this process is late, who has many inside comes in after a pause (`limits.lag_throttle`).
    """

    def __init__(self, lag_throttle: LagThrottle, patience_s: float = PATIENCE_S) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)
        self._shares: dict[str, _Share] = {}
        self._lag_throttle = lag_throttle
        self._patience_s = patience_s

    def note_code(self) -> None:
        """Note that a code was accepted: more of them may follow, and somebody waits for each."""
        self._lag_throttle.note_code()

    def is_empty(self) -> bool:
        """Tell whether nobody is inside or waits."""
        return not self._shares

    def of(self, username: str) -> "Turn":
        """Enter to be inside, as one of a user's. Entering raises Refusal overloaded for who waited in vain."""
        return Turn(self, username)

    async def enter(self, username: str) -> None:
        """Come in, waiting where there is no room."""
        share = self._shares.get(username)
        if share is None:
            share = self._shares[username] = _Share()
        share.inside += 1
        try:
            if share.room.locked() or self._room.locked() or self._is_to_pause(share):
                await self._wait(share)
            else:
                await share.room.acquire()
                await self._room.acquire()
        except BaseException:
            self._forget(username, share)
            raise

    def leave(self, username: str) -> None:
        """Make room for the next."""
        share = self._shares[username]
        self._room.release()
        share.room.release()
        self._forget(username, share)

    def _forget(self, username: str, share: _Share) -> None:
        share.inside -= 1
        if not share.inside:
            del self._shares[username]

    def _is_to_pause(self, share: _Share) -> bool:
        return self._lag_throttle.pause_s > 0 and share.inside > FEW

    async def _wait(self, share: _Share) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await share.room.acquire()
                try:
                    if self._is_to_pause(share):
                        await self._lag_throttle.throttle()
                    await self._room.acquire()
                except BaseException:
                    share.room.release()
                    raise
        except TimeoutError as late:
            raise Refusal("overloaded", retry_after_s=RETRY_AFTER_S) from late


class Turn:
    """One request's place inside: a class, since a generator's context costs three times as much."""

    __slots__ = ("_admission", "_username")

    def __init__(self, admission: Admission, username: str) -> None:
        self._admission = admission
        self._username = username

    async def __aenter__(self) -> None:
        """Come in."""
        await self._admission.enter(self._username)

    async def __aexit__(self, *_: object) -> None:
        """Leave."""
        self._admission.leave(self._username)
