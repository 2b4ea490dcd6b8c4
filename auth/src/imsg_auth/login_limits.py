"""Wrong passwords: how many an account, a network and all of them together may have, and what a further try waits.

Nobody can lock another out. Who has logged in from a network before is known there: others' guesses do not count. From
anywhere else the owner has a try of their own an hour, however many others guess.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from imsg_contract.errors import Refusal
from imsg_limits.quota import Count, Counters
from imsg_runtime.redis import Redis

FREE_TRIES = 5
"""Wrong passwords for one (user, network) before a further try has to wait."""

WAITS_S = (0.5, 1.0, 2.0, 3.5, 5.0)
"""How long the tries after the free ones wait, in order; who was wrong that often as well is sent away."""

FORGOTTEN_AFTER_S = 300
"""How long wrong passwords of a (user, network) or a network are remembered, from the first on."""

KNOWN_TRIES = 60
"""What a user may have wrong from a network where they are known: a neighbour there may be guessing."""

ACCOUNT_TRIES = 20
"""Wrong passwords an hour for one user from networks where they are not known. Beyond it each such network has one try
an hour, which waits: 600 addresses guess 620 times, and the owner's own first try goes through."""

NETWORK_TRIES = 50
"""Wrong passwords within `FORGOTTEN_AFTER_S` from one network, whoever's: one that tries a password on many users."""

ALL_TRIES = 1_000
"""Wrong passwords an hour in all; beyond it every try from where its user is not known waits."""

HOUR_S = 3_600
SLOWED_S = WAITS_S[-1]

KNOWN_NETWORKS = 32
KNOWN_FOR_S = 90 * 86_400
"""How many networks of a user are remembered, the newest, and for how long after the last log-in."""


class KnownNetworks:
    """Where each user has logged in from; kept as digests."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now

    async def has(self, user_id: str, network: str) -> bool:
        """Tell whether this user has logged in from there before. Raises RedisUnavailable."""
        return await self._redis.call("ZSCORE", _name_known_key(user_id), _digest(network)) is not None

    async def add(self, user_id: str, network: str) -> None:
        """Remember it. Raises RedisUnavailable."""
        key = _name_known_key(user_id)
        await self._redis.call("ZADD", key, self._now(), _digest(network))
        await self._redis.call("ZREMRANGEBYRANK", key, 0, -KNOWN_NETWORKS - 1)
        await self._redis.call("EXPIRE", key, KNOWN_FOR_S)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who is being logged in, and from where."""

    username: str
    network: str
    is_known: bool

    @property
    def stranger(self) -> str | None:
        """The network, where the user is not known there."""
        return None if self.is_known else self.network


class LoginLimits:
    """The counts of wrong passwords. Raises RedisUnavailable."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def due_s(self, attempt: Attempt) -> float:
        """Say how long a try waits in all. Raises Refusal too_many_tries."""
        due_s = _of_pair(await self._counters.read(_pair(attempt)), is_known=attempt.is_known)
        if attempt.is_known:
            return due_s
        network = await self._counters.read(_network(attempt))
        if network.count >= NETWORK_TRIES:
            raise _too_many(network)
        if (await self._counters.read(_account(attempt))).count >= ACCOUNT_TRIES:
            first = await self._counters.read(_hour(attempt))
            if first.count:
                raise _too_many(first)
            return SLOWED_S
        if (await self._counters.read(ALL)).count >= ALL_TRIES:
            return SLOWED_S
        return due_s

    async def count(self, attempt: Attempt) -> None:
        """Count a wrong password."""
        await self._counters.add(_pair(attempt), 1, FORGOTTEN_AFTER_S)
        if attempt.is_known:
            return
        await self._counters.add(_hour(attempt), 1, HOUR_S)
        await self._counters.add(_network(attempt), 1, FORGOTTEN_AFTER_S)
        await self._counters.add(_account(attempt), 1, HOUR_S)
        await self._counters.add(ALL, 1, HOUR_S)

    async def forget(self, attempt: Attempt) -> None:
        """Forget what this user had wrong from there: the password was right."""
        await self._counters.forget(_pair(attempt))
        await self._counters.forget(_hour(attempt))


ALL = "login-all"


def _of_pair(wrong: Count, *, is_known: bool) -> float:
    step = wrong.count - FREE_TRIES
    if step < 0:
        return 0.0
    if step < len(WAITS_S):
        return WAITS_S[step]
    if is_known and wrong.count < KNOWN_TRIES:
        return SLOWED_S
    raise _too_many(wrong)


def _too_many(wrong: Count) -> Refusal:
    after_s = max(1, math.ceil(wrong.ends_in_s))
    return Refusal(
        "too_many_tries", what_zh="错误的密码", what_en="wrong passwords", after=after_s, retry_after_s=after_s
    )


def _pair(attempt: Attempt) -> str:
    return f"login:{_digest(attempt.network, attempt.username)}"


def _hour(attempt: Attempt) -> str:
    return f"login-hour:{_digest(attempt.network, attempt.username)}"


def _network(attempt: Attempt) -> str:
    return f"login-network:{_digest(attempt.network)}"


def _account(attempt: Attempt) -> str:
    return f"login-account:{_digest(attempt.username)}"


def _name_known_key(user_id: str) -> str:
    return f"imsg:login-known:{user_id}"


def _digest(*parts: str) -> str:
    """Name a count, whatever length and letters a stranger makes up."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
