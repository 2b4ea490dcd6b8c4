"""Admission: how many requests are accepted at once, in all and of one user, so that a flood delays only itself."""

import asyncio
from dataclasses import dataclass, field

from imsg_contract.errors import Refusal
from imsg_limits.lag_throttle import LagThrottle

AT_ONCE = 96
"""Requests between their charge and their confirm. More of them share no more round trips, and the last one waits until
the loop has run a step of each."""

OF_ONE_USER = 64
"""The most requests of one user at once, so that others find room."""

FEW = 8
"""So many requests of one user are no flood, and are not throttled."""

PATIENCE_S = 5.0
"""How long a request waits for admission; the lease of its idempotency key is longer."""

RETRY_AFTER_S = 2


@dataclass(slots=True)
class _Share:
    """The requests of one user."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OF_ONE_USER))
    inside: int = 0
    """Requests that are admitted or wait."""


class Admission:
    """Admits requests, those of one user in order. Codes are few, and are not subject to it.

    While codes are sent and this process lags, a user with many requests is throttled (`limits.lag_throttle`).
    """

    def __init__(self, lag_throttle: LagThrottle, patience_s: float = PATIENCE_S) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)
        self._shares: dict[str, _Share] = {}
        self._lag_throttle = lag_throttle
        self._patience_s = patience_s

    def note_code(self) -> None:
        """Note that a code was accepted: more may follow, and people wait for them."""
        self._lag_throttle.note_code()

    def is_empty(self) -> bool:
        """Return whether no request is admitted or waits."""
        return not self._shares

    def of(self, username: str) -> "Turn":
        """Return the context of a user's request; entering it waits. Raises Refusal overloaded after PATIENCE_S."""
        return Turn(self, username)

    async def enter(self, username: str) -> None:
        """Admit a request, waiting where there is no room. Raises Refusal overloaded."""
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
        """Make room for the next request."""
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
    """The admission of one request: a class, since a generator's context costs three times as much."""

    __slots__ = ("_admission", "_username")

    def __init__(self, admission: Admission, username: str) -> None:
        self._admission = admission
        self._username = username

    async def __aenter__(self) -> None:
        """Wait for admission."""
        await self._admission.enter(self._username)

    async def __aexit__(self, *_: object) -> None:
        """End the admission."""
        self._admission.leave(self._username)
