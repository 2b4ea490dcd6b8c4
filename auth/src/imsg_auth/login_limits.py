"""Limits of log-ins: how many wrong passwords an account, a network and all together may have, and how long tries wait.

A guesser can't lock a user out. In a network from which a user has logged in before, the user is known, and guesses
from elsewhere do not count. From any other network the user has one try an hour, however many others guess.
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
"""How long the tries after the free ones wait, in order; further tries are refused."""

FORGOTTEN_AFTER_S = 300
"""How long wrong passwords of a (user, network) or a network are remembered, from the first on."""

KNOWN_TRIES = 60
"""Wrong passwords of a user in a network where they are known: a neighbour there may be guessing."""

ACCOUNT_TRIES = 20
"""Wrong passwords an hour for one user from networks where they are not known. Beyond it each such network has one try
an hour, which waits: 600 addresses guess 620 times, and the owner's own first try goes through."""

NETWORK_TRIES = 50
"""Wrong passwords within `FORGOTTEN_AFTER_S` from one network, for all users together."""

ALL_TRIES = 1_000
"""Wrong passwords an hour in all; beyond it every try from where its user is not known waits."""

HOUR_S = 3_600
SLOWED_S = WAITS_S[-1]

KNOWN_NETWORKS = 32
KNOWN_FOR_S = 90 * 86_400
"""How many networks of a user are remembered, the newest, and for how long after the last log-in."""


class KnownNetworks:
    """The networks from which each user has logged in, as digests."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now

    async def has(self, user_id: str, network: str) -> bool:
        """Return whether this user has logged in from a network before. Raises RedisUnavailable."""
        return await self._redis.call("ZSCORE", _known_networks_key(user_id), _digest(network)) is not None

    async def add(self, user_id: str, network: str) -> None:
        """Add a network. Raises RedisUnavailable."""
        key = _known_networks_key(user_id)
        await self._redis.call("ZADD", key, self._now(), _digest(network))
        await self._redis.call("ZREMRANGEBYRANK", key, 0, -KNOWN_NETWORKS - 1)
        await self._redis.call("EXPIRE", key, KNOWN_FOR_S)


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A try to log in: the user, and the client's network."""

    username: str
    network: str
    is_known: bool

    @property
    def stranger(self) -> str | None:
        """The network, if the user is not known there."""
        return None if self.is_known else self.network


class LoginLimits:
    """The counts of wrong passwords. Raises RedisUnavailable."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def find_wait_s(self, attempt: LoginAttempt) -> float:
        """Return how long a try waits. Raises Refusal too_many_tries."""
        wait_s = _find_pair_wait_s(await self._counters.read(_pair_key(attempt)), is_known=attempt.is_known)
        if attempt.is_known:
            return wait_s
        network = await self._counters.read(_network_key(attempt))
        if network.count >= NETWORK_TRIES:
            raise _make_refusal(network)
        if (await self._counters.read(_account_key(attempt))).count >= ACCOUNT_TRIES:
            of_hour = await self._counters.read(_hour_key(attempt))
            if of_hour.count:
                raise _make_refusal(of_hour)
            return SLOWED_S
        if (await self._counters.read(ALL_KEY)).count >= ALL_TRIES:
            return SLOWED_S
        return wait_s

    async def count(self, attempt: LoginAttempt) -> None:
        """Count a wrong password."""
        await self._counters.add(_pair_key(attempt), 1, FORGOTTEN_AFTER_S)
        if attempt.is_known:
            return
        await self._counters.add(_hour_key(attempt), 1, HOUR_S)
        await self._counters.add(_network_key(attempt), 1, FORGOTTEN_AFTER_S)
        await self._counters.add(_account_key(attempt), 1, HOUR_S)
        await self._counters.add(ALL_KEY, 1, HOUR_S)

    async def forget(self, attempt: LoginAttempt) -> None:
        """Reset the counts of this user and network after a right password."""
        await self._counters.forget(_pair_key(attempt))
        await self._counters.forget(_hour_key(attempt))


ALL_KEY = "login-all"


def _find_pair_wait_s(tally: Count, *, is_known: bool) -> float:
    step = tally.count - FREE_TRIES
    if step < 0:
        return 0.0
    if step < len(WAITS_S):
        return WAITS_S[step]
    if is_known and tally.count < KNOWN_TRIES:
        return SLOWED_S
    raise _make_refusal(tally)


def _make_refusal(tally: Count) -> Refusal:
    after_s = max(1, math.ceil(tally.ends_in_s))
    return Refusal(
        "too_many_tries", what_zh="错误的密码", what_en="wrong passwords", after=after_s, retry_after_s=after_s
    )


def _pair_key(attempt: LoginAttempt) -> str:
    return f"login:{_digest(attempt.network, attempt.username)}"


def _hour_key(attempt: LoginAttempt) -> str:
    return f"login-hour:{_digest(attempt.network, attempt.username)}"


def _network_key(attempt: LoginAttempt) -> str:
    return f"login-network:{_digest(attempt.network)}"


def _account_key(attempt: LoginAttempt) -> str:
    return f"login-account:{_digest(attempt.username)}"


def _known_networks_key(user_id: str) -> str:
    return f"imsg:login-known:{user_id}"


def _digest(*parts: str) -> str:
    """Return the key of a count, whatever text a client sends."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
