"""The waits that providers demand (`Retry-After`), for one number or for all, shared by a channel's processes."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable

from imsg_runtime.redis import Redis, Script

MAX_WAITS = 10_000
"""The most waits that a process keeps; beyond, those that end first are dropped."""

ALL_S = 30.0
"""The longest wait for a whole provider; then another call is made."""

MAX_S = 3_600.0
"""The longest wait that is kept; messages with a longer one are retried by the retry delays."""

_SYNC = Script.of("""
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
"""Writes the new waits, drops those that are over, and returns all others: name, milliseconds left, and so on."""


class RetryAfter:
    """The waits of one channel's providers; other processes read them within a second. Numbers are kept as digests."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._unsynced: dict[str, float] = {}
        self._causes: OrderedDict[tuple[str, str], None] = OrderedDict()
        """(provider, message) pairs that set a wait for the whole provider."""

    def __bool__(self) -> bool:
        """Return whether there may be a wait."""
        return bool(self._until)

    def wait_s(self, provider: str, what: str = "") -> float:
        """Return the seconds until a provider may be called (for the number `what`); 0.0: now."""
        if not self._until:
            return 0.0
        return max(0.0, self._until.get(_name(provider, what), 0.0) - self._clock())

    def set(self, provider: str, what: str, after_s: float) -> None:
        """Set the wait of a provider, or of the number `what`, in seconds."""
        name, until = _name(provider, what), self._clock() + min(after_s, MAX_S)
        if until > self._until.get(name, 0.0):
            self._until[name] = self._unsynced[name] = until
        self._prune()

    def set_all(self, provider: str, after_s: float, message: str) -> None:
        """Set the wait of a whole provider after its reply to a message.

        A second reply to the same message changes nothing: it may concern that message alone.
        """
        cause = provider, message
        if cause not in self._causes:
            self._causes[cause] = None
            if len(self._causes) > MAX_WAITS:
                self._causes.popitem(last=False)
            self.set(provider, "", min(after_s, ALL_S))

    async def sync(self, redis: Redis, key: str) -> None:
        """Write this process' waits to Redis and read the others'. Raises RedisUnavailable, RedisRefused."""
        unsynced, self._unsynced = self._unsynced, {}
        now = self._clock()
        arguments = [part for name, until in unsynced.items() for part in (name, math.ceil((until - now) * 1_000))]
        try:
            left = await redis.run(_SYNC, [key], arguments)
        except BaseException:
            self._unsynced = unsynced | self._unsynced
            raise
        now = self._clock()
        shared = {left[at].decode(): now + int(left[at + 1]) / 1_000 for at in range(0, len(left), 2)}
        self._until = {name: until for name, until in self._until.items() if until > now} | shared
        self._prune()

    def _prune(self) -> None:
        if len(self._until) > MAX_WAITS:
            latest = sorted(self._until.items(), key=lambda wait: wait[1])[-MAX_WAITS // 2 :]
            self._until = dict(latest)


def _name(provider: str, what: str) -> str:
    """Return the name of a wait; a number is hashed, since the wait may outlive the erasure of its recipient."""
    return f"{provider} {hashlib.sha256(what.encode()).hexdigest()[:24]}" if what else provider
