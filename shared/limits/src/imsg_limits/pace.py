"""A token bucket: the one way in which a sender keeps a provider's limit of so many calls in so much time."""

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
"""From how many buckets on full ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` in any `window_s` seconds, of which `burst` may come at once. `Rate(20, 60)`: 20 a minute.

    A bucket that refills at the full rate and also lets a burst through passes the limit in its first window, so
    the burst is paid for by a slower refill. With the default of 1 calls are spread evenly.
    """

    calls: int
    window_s: float = 1.0
    burst: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.burst <= self.calls or self.window_s <= 0:
            raise ValueError(f"a rate needs a window above 0 and a burst from 1 to its calls, not {self}")

    @property
    def refill_s(self) -> float:
        """After how many seconds another call is free."""
        return self.window_s / (self.calls - self.burst + 1)


class Bucket(Protocol):
    """What calls are taken from."""

    async def acquire(self, scope: str = "", *, within_s: float) -> float:
        """Take a call, as `Pace.acquire` says."""


class Pace:
    """One bucket for each scope: an account, a robot, a number; what is limited as a whole has the scope ''.

    It counts what this process does; `SharedPace` counts for all.
    """

    def __init__(
        self,
        rate: Rate,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        # Whole nanoseconds, rounded up: a sum of floats would now and then find a burst a hair too early.
        self._refill_ns = math.ceil(rate.refill_s * 1e9)
        self._ahead_ns = self._refill_ns * (rate.burst - 1)
        self._clock = clock
        self._sleep = sleep
        self._full_at: dict[str, int] = {}
        self._prune_at = PRUNE_AT

    def wait_s(self, scope: str = "") -> float:
        """Say in how many seconds a call would be free; nothing is taken."""
        now = self._now()
        return max(0, self._full_at.get(scope, now) - self._ahead_ns - now) / 1e9

    async def acquire(self, scope: str = "", *, within_s: float) -> float:
        """Take a call, waiting for it up to `within_s`, in the order of asking; return 0.0 once it may be made.

        Where it would be free only later nothing is taken and no time spent: return in how many seconds it is,
        for an answer such as `Again` or `Blocked`. Who is cancelled while waiting has used up the call, since
        others may have been given their times after it.
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
        """Forget full buckets: a scope may be a phone number, of which there is no end."""
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
"""Takes a call by Redis' clock where it is free within so many microseconds; answers whether, and the wait until it."""


class SharedPace:
    """One bucket for each scope for all processes of a channel; each goes by its own while Redis is away."""

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
        """Take a call, waiting for it up to `within_s`; return 0.0 once it may be made, else as `Pace.acquire` does."""
        try:
            taken, wait_us = await self._redis.run(
                _TAKE,
                [pace_key(self._method, scope)],
                [self._refill_us, self._ahead_us, math.floor(within_s * 1e6)],
            )
        except (RedisUnavailable, RedisRefused) as error:
            self._problem.note(error)
            return await self._own.acquire(scope, within_s=within_s)
        self._problem.clear()
        wait_s = int(wait_us) / 1e6
        if not taken:
            return wait_s
        if wait_s:
            await self._sleep(wait_s)
        return 0.0
