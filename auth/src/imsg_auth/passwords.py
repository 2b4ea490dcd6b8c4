"""Passwords: hashed by argon2id off the event loop, and checked within the limits of log-ins."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from imsg_auth.common_passwords import is_common
from imsg_auth.login_limits import KnownNetworks, LoginAttempt, LoginLimits
from imsg_limits.fair_queue import FairQueue
from imsg_limits.quota import Counters
from imsg_web.clients import network_of


def make_hasher() -> PasswordHasher:
    """Make the hasher: argon2id as OWASP's Password Storage Cheat Sheet has it (19 MiB, 2 rounds, 1 lane)."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Passwords:
    """Hashes and checks passwords, few at a time."""

    def __init__(
        self,
        counters: Counters,
        hasher: PasswordHasher,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        known_networks: KnownNetworks | None = None,
    ) -> None:
        """`known_networks` may be absent where passwords are set, and none is checked."""
        self._limits = LoginLimits(counters)
        self._known_networks = known_networks
        self._hasher = hasher
        self._sleep = sleep
        self._queue = FairQueue()
        self._dummy_hash = hasher.hash(secrets.token_hex(16))
        """The hash that is verified for an unknown user, so that it takes as long."""

    async def hash(self, password: str) -> str:
        """Hash a password. Raises Refusal unavailable where too many wait."""
        async with self._queue.acquire():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_common(self, password: str, *known: str) -> bool:
        """Return whether a password is a common one, or is made of what is `known` of its user.

        Raises Refusal unavailable where too many wait.
        """
        async with self._queue.acquire():
            return await asyncio.to_thread(is_common, password, *known)

    def is_outdated(self, hashed: str) -> bool:
        """Return whether a hash was made with other parameters than the current ones."""
        return self._hasher.check_needs_rehash(hashed)

    async def matches(self, hashed: str, password: str) -> bool:
        """Return whether a password matches, without counting. Raises Refusal unavailable."""
        async with self._queue.acquire():
            return await asyncio.to_thread(self._verify, hashed, password)

    async def check(
        self, username: str, address: str, hashed: str | None, password: str, user_id: str | None = None
    ) -> bool:
        """Return whether a client at `address` knows the password; `hashed` is None where there is no such user.

        After too many wrong passwords a client waits first. The counts are read again in the turn in which the hash is
        computed, so that simultaneous guesses wait for each other's results. A right password is never counted.
        Raises Refusal too_many_tries or unavailable, RedisUnavailable.
        """
        network = network_of(address)
        is_known = (
            user_id is not None
            and self._known_networks is not None
            and await self._known_networks.has(user_id, network)
        )
        attempt = LoginAttempt(username, network, is_known)
        waited_s = 0.0
        while True:
            due_s = await self._limits.find_wait_s(attempt)  # before the turn too: a refused try takes none
            if due_s <= waited_s:
                async with self._queue.acquire(attempt.stranger):
                    due_s = await self._limits.find_wait_s(attempt)
                    if due_s <= waited_s:
                        return await self._check(attempt, hashed, password, user_id)
            await self._sleep(due_s - waited_s)
            waited_s = due_s

    async def _check(self, attempt: LoginAttempt, hashed: str | None, password: str, user_id: str | None) -> bool:
        is_right = await asyncio.to_thread(self._verify, hashed or self._dummy_hash, password) and hashed is not None
        if not is_right:
            await self._limits.count(attempt)
            return False
        await self._limits.forget(attempt)
        if user_id is not None and self._known_networks is not None:
            await self._known_networks.add(user_id, attempt.network)
        return True

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except VerifyMismatchError:
            return False
