"""Passwords: argon2id off the event loop, and log-ins that slow down for whoever keeps guessing."""

import asyncio
import hashlib
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from imsg_shared.errors import Refusal
from imsg_shared.quota import Tallied, Tallies

FREE_TRIES = 5
"""Wrong passwords for one (user, address) before a further try has to wait."""

WAITS_S = (0.5, 1.0, 2.0, 3.5, 5.0)
"""How long the tries after the free ones wait, in order; who was wrong that often as well is sent away."""

FORGOTTEN_AFTER_S = 300
"""How long wrong passwords are remembered, from the first on: ten guesses in five minutes from one address."""

SLOT_WAIT_S = 8.0
"""How long a log-in may wait for its turn to be hashed."""

SLOTS = 2
"""Hashes computed at once: each takes a core and 19 MiB."""


def hasher() -> PasswordHasher:
    """Make the hasher: argon2id as OWASP's Password Storage Cheat Sheet has it (19 MiB, 2 rounds, 1 lane)."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Passwords:
    """Hashes and checks passwords, at most `SLOTS` at a time."""

    def __init__(
        self,
        tallies: Tallies,
        hasher: PasswordHasher,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tallies = tallies
        self._hasher = hasher
        self._sleep = sleep
        self._slots = asyncio.Semaphore(SLOTS)
        self._nobodys = hasher.hash(secrets.token_hex(16))
        """What a password is checked against where there is no such user, so that it takes as long."""

    async def hash(self, password: str) -> str:
        """Make the hash that is kept. Raises Refusal unavailable where too many wait."""
        async with self._slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    def is_outdated(self, hashed: str) -> bool:
        """Tell whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    async def matches(self, hashed: str, password: str) -> bool:
        """Tell whether this is the password, slowing nobody. Raises Refusal unavailable."""
        async with self._slot():
            return await asyncio.to_thread(self._verify, hashed, password)

    async def check(self, username: str, address: str, hashed: str | None, password: str) -> bool:
        """Tell whether a client at `address` knows the password; `hashed` is None where there is no such user.

        Who was wrong too often waits first. The count is read in the very slot the hash is computed in, so that
        guesses made all at once wait for each other's results; a right password is never counted.
        Raises Refusal too_many_tries or unavailable, RedisAway.
        """
        key = _key(username, address)
        waited_s = 0.0
        while True:
            async with self._slot():
                wrong = await self._tallies.read(key)
                due_s = _due_s(wrong)
                if due_s <= waited_s:
                    return await self._checked(key, wrong.count, hashed, password)
            await self._sleep(due_s - waited_s)
            waited_s = due_s

    async def _checked(self, key: str, wrong: int, hashed: str | None, password: str) -> bool:
        is_right = await asyncio.to_thread(self._verify, hashed or self._nobodys, password) and hashed is not None
        if not is_right:
            await self._tallies.add(key, 1, FORGOTTEN_AFTER_S)
        elif wrong:
            await self._tallies.forget(key)
        return is_right

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except VerifyMismatchError:
            return False

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(SLOT_WAIT_S):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Refusal("unavailable", retry_after_s=math.ceil(SLOT_WAIT_S)) from error
        try:
            yield
        finally:
            self._slots.release()


def _due_s(wrong: Tallied) -> float:
    """Say how long a try waits in all after so many wrong ones. Raises Refusal too_many_tries."""
    step = wrong.count - FREE_TRIES
    if step < 0:
        return 0.0
    if step < len(WAITS_S):
        return WAITS_S[step]
    after_s = max(1, math.ceil(wrong.ends_in_s))
    raise Refusal(
        "too_many_tries", what_zh="错误的密码", what_en="wrong passwords", after=after_s, retry_after_s=after_s
    )


def _key(username: str, address: str) -> str:
    """Name the count of a (user, address), whatever length and letters a stranger makes up."""
    return "login:" + hashlib.sha256(f"{address}\0{username}".encode()).hexdigest()
