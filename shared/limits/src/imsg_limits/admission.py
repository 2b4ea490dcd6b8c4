"""Admission: how many requests are accepted at once, in all and of one user, so that a flood delays only itself."""

import asyncio
from dataclasses import dataclass, field

from imsg_contract.errors import Refusal
from imsg_limits.lag_throttle import LagThrottle

MAX_ADMITTED = 96
"""The most requests between charge and confirm. With more, round trips are not shared further and each waits longer."""

MAX_PER_USER = 64
"""The most requests of one user at once, so that others find room."""

UNTHROTTLED = 8
"""So many requests of one user are not throttled."""

PATIENCE_S = 5.0
"""How long a request waits for admission; the lease of its idempotency key is longer."""

RETRY_AFTER_S = 2


@dataclass(slots=True)
class _UserRequests:
    """The requests of one user."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_PER_USER))
    count: int = 0
    """Requests that are admitted or wait."""


class Admission:
    """Admits requests, those of one user in order. Codes are few, and need no admission.

    While codes are sent and this process lags, a user with many requests is throttled (`limits.lag_throttle`).
    """

    def __init__(self, lag_throttle: LagThrottle, patience_s: float = PATIENCE_S) -> None:
        self._room = asyncio.Semaphore(MAX_ADMITTED)
        self._users: dict[str, _UserRequests] = {}
        self._lag_throttle = lag_throttle
        self._patience_s = patience_s

    def record_code(self) -> None:
        """Record that a code was accepted: more may follow, and people wait for them."""
        self._lag_throttle.record_code()

    def is_empty(self) -> bool:
        """Return whether no request is admitted or waits."""
        return not self._users

    def admit(self, username: str) -> "AdmissionContext":
        """Return the context of a user's request; entering it waits. Raises Refusal overloaded after PATIENCE_S."""
        return AdmissionContext(self, username)

    async def enter(self, username: str) -> None:
        """Admit a request, waiting where there is no room. Raises Refusal overloaded."""
        user = self._users.get(username)
        if user is None:
            user = self._users[username] = _UserRequests()
        user.count += 1
        try:
            if user.room.locked() or self._room.locked() or self._must_pause(user):
                await self._wait(user)
            else:
                await user.room.acquire()
                await self._room.acquire()
        except BaseException:
            self._forget(username, user)
            raise

    def leave(self, username: str) -> None:
        """Make room for the next request."""
        user = self._users[username]
        self._room.release()
        user.room.release()
        self._forget(username, user)

    def _forget(self, username: str, user: _UserRequests) -> None:
        user.count -= 1
        if not user.count:
            del self._users[username]

    def _must_pause(self, user: _UserRequests) -> bool:
        return self._lag_throttle.pause_s > 0 and user.count > UNTHROTTLED

    async def _wait(self, user: _UserRequests) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await user.room.acquire()
                try:
                    if self._must_pause(user):
                        await self._lag_throttle.throttle()
                    await self._room.acquire()
                except BaseException:
                    user.room.release()
                    raise
        except TimeoutError as late:
            raise Refusal("overloaded", retry_after_s=RETRY_AFTER_S) from late


class AdmissionContext:
    """The admission of one request. A class, since a generator-based context costs three times as much."""

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
