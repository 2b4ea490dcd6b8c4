"""Whom a provider wants to be given less: after "too often" a number, or all of it, waits its time in every process."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable

from imsg_runtime.redis import Redis, Script

MAX_HOLDS = 10_000
"""Of which a process knows; beyond, those that end first are forgotten, and the provider says it once more."""

ALL_S = 30.0
"""The longest that all of a provider is held for one answer: then one call finds out anew."""

LONGEST_S = 3_600.0
"""What is to wait longer is no matter of pace: it comes again by the retry steps."""

_SHARE = Script.of("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for at = 1, #ARGV, 2 do
  local until_ms = now + ARGV[at + 1]
  if until_ms > tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or '0') then
    redis.call('HSET', KEYS[1], ARGV[at], string.format('%.0f', until_ms))
  end
end
if #ARGV > 0 then redis.call('PEXPIRE', KEYS[1], 3600000) end
local all, left = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  local left_ms = tonumber(all[at + 1]) - now
  if left_ms <= 0 then
    redis.call('HDEL', KEYS[1], all[at])
  else
    left[#left + 1] = all[at]
    left[#left + 1] = string.format('%.0f', left_ms)
  end
end
return left
""")
"""Writes what is new, forgets what is over, and answers all that is held: name, milliseconds left, and so on."""


class Holds:
    """What waits, by names that tell nobody's number. This process knows at once, the others within a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._news: dict[str, float] = {}
        self._causes: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Messages for which all of a provider was held."""

    def __bool__(self) -> bool:
        """Whether anything may be held."""
        return bool(self._until)

    def wait_s(self, provider: str, what: str = "") -> float:
        """Say for how many seconds a provider is to be given nothing (for this number); 0.0: it may."""
        if not self._until:
            return 0.0
        return max(0.0, self._until.get(_name(provider, what), 0.0) - self._clock())

    def hold(self, provider: str, what: str, after_s: float) -> None:
        """Note that a provider wants to be left alone (with this number) for so long."""
        name, until = _name(provider, what), self._clock() + min(after_s, LONGEST_S)
        if until > self._until.get(name, 0.0):
            self._until[name] = self._news[name] = until
        self._prune()

    def hold_all(self, provider: str, after_s: float, message: str) -> None:
        """Note that a provider wants to be given nothing for so long, said of this message.

        Said of the same message again it holds nothing: it may be that message which the provider minds.
        """
        cause = provider, message
        if cause not in self._causes:
            self._causes[cause] = None
            if len(self._causes) > MAX_HOLDS:
                self._causes.popitem(last=False)
            self.hold(provider, "", min(after_s, ALL_S))

    async def share(self, redis: Redis, key: str) -> None:
        """Tell the other processes and hear from them. Raises RedisUnavailable, RedisRefused."""
        news, self._news = self._news, {}
        now = self._clock()
        told = [part for name, until in news.items() for part in (name, math.ceil((until - now) * 1_000))]
        try:
            left = await redis.run(_SHARE, [key], told)
        except BaseException:
            self._news = news | self._news
            raise
        now = self._clock()
        heard = {left[at].decode(): now + int(left[at + 1]) / 1_000 for at in range(0, len(left), 2)}
        self._until = {name: until for name, until in self._until.items() if until > now} | heard
        self._prune()

    def _prune(self) -> None:
        if len(self._until) > MAX_HOLDS:
            latest = sorted(self._until.items(), key=lambda one: one[1])[-MAX_HOLDS // 2 :]
            self._until = dict(latest)


def _name(provider: str, what: str) -> str:
    """Name what is held: a number by its digest, since it would outlive what is known of its person."""
    return f"{provider} {hashlib.sha256(what.encode()).hexdigest()[:24]}" if what else provider
