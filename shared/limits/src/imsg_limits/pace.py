"""Token buckets by which senders keep the rate limits of providers."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from imsg_contract.topology import pace_key
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script

log = logger(__name__)

PRUNE_AT = 1_024
"""The number of buckets from which full ones are dropped."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` in any `window_s` seconds, of which `burst` may be at once. `Rate(20, 60)`: 20 a minute.

    A burst makes the refill slower, so that no window exceeds the limit. With a burst of 1 calls are spread evenly.
    """

    calls: int
    window_s: float = 1.0
    burst: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.burst <= self.calls or self.window_s <= 0:
            raise ValueError(f"a rate needs a window above 0 and a burst from 1 to its calls, not {self}")

    @property
    def refill_s(self) -> float:
        """The seconds between calls, apart from a burst."""
        return self.window_s / (self.calls - self.burst + 1)


class Bucket(Protocol):
    """A rate limit that calls wait for."""

    async def acquire(self, scope: str = "", *, within_s: float) -> float:
        """Wait until a call may be made; see `Pace.acquire`."""


class Pace:
    """One bucket for each scope, such as an account, a robot or a number; the scope '' is for one limit of all.

    It counts the calls of this process; `SharedPace` those of all processes.
    """

    def __init__(
        self,
        rate: Rate,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        # Whole nanoseconds, rounded up: sums of floats would sometimes allow a call too early.
        self._refill_ns = math.ceil(rate.refill_s * 1e9)
        self._ahead_ns = self._refill_ns * (rate.burst - 1)
        self._clock = clock
        self._sleep = sleep
        self._full_at: dict[str, int] = {}
        self._prune_at = PRUNE_AT

    def wait_s(self, scope: str = "") -> float:
        """Return the seconds until a call would be free, without taking it."""
        now = self._now()
        return max(0, self._full_at.get(scope, now) - self._ahead_ns - now) / 1e9

    async def acquire(self, scope: str = "", *, within_s: float) -> float:
        """Wait up to `within_s` for a call, in the order of acquiring; return 0.0 once it may be made.

        If it would be free only later, take nothing and return the seconds until then at once. A cancelled wait has
        used up its call, since later callers were scheduled after it.
        """
        wait_s = self.wait_s(scope)
        if wait_s > within_s:
            return wait_s
        now = self._now()
        self._full_at[scope] = max(now, self._full_at.get(scope, now)) + self._refill_ns
        if len(self._full_at) > self._prune_at:
            self._prune(now)
        if wait_s:
            await self._sleep(wait_s)
        return 0.0

    def _now(self) -> int:
        return round(self._clock() * 1e9)

    def _prune(self, now: int) -> None:
        """Drop full buckets: scopes may be phone numbers, whose number is unbounded."""
        self._full_at = {scope: at for scope, at in self._full_at.items() if at > now}
        self._prune_at = max(PRUNE_AT, 2 * len(self._full_at))


_TAKE = Script.of("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local refill, ahead, within = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local wait = math.max(0, full - ahead - now)
if wait > within then return {0, string.format('%.0f', wait)} end
full = full + refill
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', string.format('%.0f', math.ceil((full - now) / 1000) + 1))
return {1, string.format('%.0f', wait)}
""")
"""ARGV: refill, burst and longest wait in µs. Takes a call by Redis' clock; returns 1 or 0, and the wait in µs."""


class SharedPace:
    """One bucket for each scope, shared by all processes of a channel; `own` is used while Redis is unavailable."""

    def __init__(
        self,
        redis: Redis,
        method: str,
        rate: Rate,
        own: Pace,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._redis = redis
        self._method = method
        self._refill_us = math.ceil(rate.refill_s * 1e6)
        self._ahead_us = self._refill_us * (rate.burst - 1)
        self._own = own
        self._sleep = sleep
        self._problem = RecurringProblem(log, "pace_not_shared", level="info", method=method)

    async def acquire(self, scope: str = "", *, within_s: float) -> float:
        """Wait up to `within_s` for a call and return 0.0, else the seconds until one is free; see `Pace.acquire`."""
        try:
            is_free, wait_us = await self._redis.run(
                _TAKE,
                [pace_key(self._method, scope)],
                [self._refill_us, self._ahead_us, math.floor(within_s * 1e6)],
            )
        except (RedisUnavailable, RedisRefused) as error:
            self._problem.report(error)
            return await self._own.acquire(scope, within_s=within_s)
        self._problem.clear()
        wait_s = int(wait_us) / 1e6
        if not is_free:
            return wait_s
        if wait_s:
            await self._sleep(wait_s)
        return 0.0
