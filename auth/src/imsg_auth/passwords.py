"""Passwords: argon2id off the event loop, and log-ins that slow down for whoever keeps guessing."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from imsg_auth.common_passwords import is_common
from imsg_auth.login_limits import Attempt, KnownNetworks, LoginLimits
from imsg_limits.fair_queue import FairQueue
from imsg_limits.quota import Counters
from imsg_web.clients import network_of


def hasher() -> PasswordHasher:
    """Make the hasher: argon2id as OWASP's Password Storage Cheat Sheet has it (19 MiB, 2 rounds, 1 lane)."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Passwords:
    """Hashes and checks passwords, few at a time."""

    def __init__(
        self,
        counters: Counters,
        hasher: PasswordHasher,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        known: KnownNetworks | None = None,
    ) -> None:
        """Without `known` nobody is known anywhere: for those who set passwords and check none."""
        self._tries = LoginLimits(counters)
        self._known = known
        self._hasher = hasher
        self._sleep = sleep
        self._turns = FairQueue()
        self._nobodys = hasher.hash(secrets.token_hex(16))
        """What a password is checked against where there is no such user, so that it takes as long."""

    async def hash(self, password: str) -> str:
        """Make the hash that is kept. Raises Refusal unavailable where too many wait."""
        async with self._turns.take():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_common(self, password: str, username: str) -> bool:
        """Tell whether an attacker tries this password early. Raises Refusal unavailable where too many wait."""
        async with self._turns.take():
            return await asyncio.to_thread(is_common, password, username)

    def is_outdated(self, hashed: str) -> bool:
        """Tell whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    async def matches(self, hashed: str, password: str) -> bool:
        """Tell whether this is the password, slowing nobody. Raises Refusal unavailable."""
        async with self._turns.take():
            return await asyncio.to_thread(self._verify, hashed, password)

    async def check(
        self, username: str, address: str, hashed: str | None, password: str, user_id: str | None = None
    ) -> bool:
        """Tell whether a client at `address` knows the password; `hashed` is None where there is no such user.

        Who was wrong too often waits first. The counts are read in the very turn the hash is computed in, so that
        guesses made all at once wait for each other's results; a right password is never counted.
        Raises Refusal too_many_tries or unavailable, RedisUnavailable.
        """
        network = network_of(address)
        is_known = user_id is not None and self._known is not None and await self._known.has(user_id, network)
        attempt = Attempt(username, network, is_known)
        waited_s = 0.0
        while True:
            due_s = await self._tries.due_s(attempt)  # before the turn too: who is sent away takes none
            if due_s <= waited_s:
                async with self._turns.take(attempt.stranger):
                    due_s = await self._tries.due_s(attempt)
                    if due_s <= waited_s:
                        return await self._check(attempt, hashed, password, user_id)
            await self._sleep(due_s - waited_s)
            waited_s = due_s

    async def _check(self, attempt: Attempt, hashed: str | None, password: str, user_id: str | None) -> bool:
        is_right = await asyncio.to_thread(self._verify, hashed or self._nobodys, password) and hashed is not None
        if not is_right:
            await self._tries.count(attempt)
            return False
        await self._tries.forget(attempt)
        if user_id is not None and self._known is not None:
            await self._known.add(user_id, attempt.network)
        return True

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except VerifyMismatchError:
            return False
