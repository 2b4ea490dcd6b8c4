"""Counted windows in one atomic step by Redis' clock: what a user may still send, and how often something was tried.

A charge reads the user's mirror and counts in the same script, so that no race and no number of gateways lets one
request more through, and a change of the mirror holds for the very next request. The windows are the clock hour and
the calendar day of a time zone. Lua knows no zones: the caller passes the zone's UTC offsets around now, a table of
two or three lines, and the script picks by the server's TIME.

Counts live in one hash per user. Its key holds the mirror's key as hash tag, so both are in one slot of a Redis
Cluster unless the name has braces; iMSG itself is meant for one Redis.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from imsg_shared.redis import Redis, Script
from imsg_shared.topology import user_key

SERVER_TIME = "tonumber(redis.call('TIME')[1])"
"""The clock, as a Lua expression in Unix seconds: the server's own, so that gateways needn't agree on one."""

TABLE_REACH_S = 45 * 86_400
"""How far the table of offsets reaches either way: clocks of gateway and Redis may differ by so much."""

_SAMPLE_S = 6 * 3_600
_TABLE_AGE_S = 86_400

# Windows of now. Fields of the counts: h START:OFFSET (an hour by its first second and its offset, so that the hour
# that comes twice when daylight saving ends is two windows), d DAY and r DAY (requests and recipients of a local day).
_WINDOWS = """
local now = {clock}
local function windows(first)
  local last, at = #ARGV, first
  while at + 2 <= last and tonumber(ARGV[at + 2]) <= now do at = at + 2 end
  local offset = tonumber(ARGV[at + 1])
  local hour = math.floor((now + offset) / 3600) * 3600 - offset
  local hour_opens = hour + 3600
  if at + 2 <= last then hour_opens = math.min(hour_opens, tonumber(ARGV[at + 2])) end
  local day = math.floor((now + offset) / 86400)
  local begins, day_opens = now, nil
  while not day_opens do
    local ends = at + 2 <= last and tonumber(ARGV[at + 2]) or math.huge
    local midnight = (day + 1) * 86400 - tonumber(ARGV[at + 1])
    if midnight < ends then day_opens = math.max(midnight, begins) end
    begins, at = ends, at + 2
  end
  return {{
    hour = hour, day = day, hour_opens = hour_opens, day_opens = day_opens,
    h = string.format('h%d:%d', hour, offset), d = string.format('d%d', day), r = string.format('r%d', day),
  }}
end
"""

_CHARGE = (
    _WINDOWS
    + """
local user = redis.call('HMGET', KEYS[1], 'epoch', 'role', 'available', 'per_hour', 'per_day', 'recipients_per_day',
                        'revoked:' .. ARGV[2])
if not user[1] then return {{'no_mirror'}} end
if user[1] ~= ARGV[1] then return {{'stale', user[1]}} end
if user[7] then return {{'revoked'}} end
if user[3] ~= '1' then return {{'disabled', user[2]}} end
local w, recipients = windows(4), tonumber(ARGV[3])
local counts = redis.call('HMGET', KEYS[2], w.h, w.d, w.r)
local hour, day, people = tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0)
local word = 'exhausted'
if hour < tonumber(user[4]) and day < tonumber(user[5])
    and (user[6] == '' or people + recipients <= tonumber(user[6])) then
  word = 'charged'
  hour = redis.call('HINCRBY', KEYS[2], w.h, 1)
  day = redis.call('HINCRBY', KEYS[2], w.d, 1)
  people = redis.call('HINCRBY', KEYS[2], w.r, recipients)
  if hour == 1 or day == 1 then
    for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
      local start = tonumber(string.match(field, '^h(%-?%d+)'))
      local date = tonumber(string.match(field, '^[dr](%-?%d+)'))
      if start and start < w.hour - 86400 or date and date < w.day - 1 then redis.call('HDEL', KEYS[2], field) end
    end
    redis.call('EXPIRE', KEYS[2], w.day_opens - now + 86400)
  end
end
return {{word, user[2], now, tonumber(user[4]), hour, w.hour_opens, tonumber(user[5]), day, w.day_opens,
        user[6], people, w.h, w.d, w.r}}
"""
)

_USED = (
    _WINDOWS
    + """
local w = windows(1)
local counts = redis.call('HMGET', KEYS[1], w.h, w.d, w.r)
return {{tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0), w.hour_opens, w.day_opens}}
"""
)

_GIVE_BACK = Script.of("""
for at = 1, #ARGV, 2 do
  local left = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0)
  if left > 0 then redis.call('HINCRBY', KEYS[1], ARGV[at], -math.min(left, tonumber(ARGV[at + 1]))) end
end
""")

_TALLY = Script.of("""
local amount = tonumber(ARGV[1])
local count = tonumber(redis.call('GET', KEYS[1]) or 0)
if amount > 0 then
  count = redis.call('INCRBY', KEYS[1], amount)
  if count == amount then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
end
return {count, math.max(redis.call('PTTL', KEYS[1]), 0)}
""")

WindowName = Literal["per_hour", "per_day", "recipients_per_day"]


@dataclass(frozen=True, slots=True)
class Window:
    """One limit of a user in its present window."""

    name: WindowName
    limit: int
    used: int
    opens_at: int
    """Unix time at which the next window begins."""
    opens_in_s: int

    @property
    def left(self) -> int:
        """What may still be charged; 0 also where the limit was lowered below what is used."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class Charge:
    """The very windows that a request was counted in, so that they and no later ones are given back."""

    key: str
    fields: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Charged:
    """The token holds, the user may send, and the request is counted."""

    role: str
    windows: tuple[Window, ...]
    charge: Charge


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Nothing was counted: `window` is the limit in the way, the one that opens last where there are several."""

    role: str
    windows: tuple[Window, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Disabled:
    """Sending is turned off for this user."""

    role: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The user's epoch is another: verify the token against this one, or it is void."""

    epoch: int


@dataclass(frozen=True, slots=True)
class NoMirror:
    """Redis knows no such user at present: ask auth to write the mirror, then try again."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """This token was logged out."""


@dataclass(frozen=True, slots=True)
class Known:
    """The mirror as it is now; the token is not revoked."""

    epoch: int
    role: str
    available: bool


@dataclass(frozen=True, slots=True)
class Used:
    """What a user has used of the present windows, and when they end (Unix time)."""

    hour: int
    day: int
    recipients: int
    hour_opens: int
    day_opens: int


@dataclass(frozen=True, slots=True)
class Tallied:
    """How often something was counted, and for how long that is remembered."""

    count: int
    ends_in_s: float


class Quota:
    """The limits of the users. Every method raises RedisAway and RedisRefused as shared.redis does."""

    def __init__(
        self, redis: Redis, zone: tzinfo, *, now: Callable[[], float] = time.time, clock: str = SERVER_TIME
    ) -> None:
        """Take the zone of the windows; `now` only chooses which offsets are sent along, `clock` is the script's."""
        self._redis = redis
        self._zone = zone
        self._now = now
        self._charge = Script.of(_CHARGE.format(clock=clock))
        self._used = Script.of(_USED.format(clock=clock))
        self._table: tuple[int, ...] = ()
        self._table_at = -math.inf

    async def charge(
        self, username: str, nonce: str, epoch: int, recipients: int
    ) -> Charged | Exhausted | Disabled | Stale | NoMirror | Revoked:
        """Judge the token, `available` and the limits, and count one request, all in one step.

        `epoch` is the one the caller has verified the token's MAC against.
        """
        key = _counts_key(username)
        reply = await self._redis.run(
            self._charge, [user_key(username), key], [epoch, nonce, recipients, *self._offsets()]
        )
        match reply[0]:
            case b"no_mirror":
                return NoMirror()
            case b"stale":
                return Stale(int(reply[1]))
            case b"revoked":
                return Revoked()
            case b"disabled":
                return Disabled(reply[1].decode())
        role, windows = reply[1].decode(), _windows(reply)
        if reply[0] == b"charged":
            hour, day, people = (field.decode() for field in reply[11:14])
            return Charged(role, windows, Charge(key, ((hour, 1), (day, 1), (people, recipients))))
        costs = {"per_hour": 1, "per_day": 1, "recipients_per_day": recipients}
        in_the_way = (window for window in windows if window.left < costs[window.name])
        return Exhausted(role, windows, max(in_the_way, key=lambda window: window.opens_at))

    async def peek(self, username: str, nonce: str) -> Known | NoMirror | Revoked:
        """Read the mirror, counting nothing: to learn the epoch, or where only the token is to be judged."""
        fields = ("epoch", "role", "available", f"revoked:{nonce}")
        epoch, role, available, revoked = await self._redis.call("HMGET", user_key(username), *fields)
        if epoch is None:
            return NoMirror()
        if revoked is not None:
            return Revoked()
        return Known(int(epoch), role.decode(), available == b"1")

    async def give_back(self, charge: Charge) -> None:
        """Undo a charge in the windows it was made in, never below 0. Only once per charge."""
        await self._redis.run(_GIVE_BACK, [charge.key], [part for field in charge.fields for part in field])

    async def used(self, username: str) -> Used:
        """Read what a user has used of the present windows, counting nothing."""
        reply: Sequence[int] = await self._redis.run(self._used, [_counts_key(username)], self._offsets())
        return Used(*map(int, reply))

    def _offsets(self) -> tuple[int, ...]:
        now = self._now()
        if abs(now - self._table_at) > _TABLE_AGE_S:
            self._table, self._table_at = offsets(self._zone, now), now
        return self._table


class Tallies:
    """Counters that forget by themselves: wrong passwords, unknown recipients. Raises as shared.redis does."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, key: str, amount: int, lasts_s: int) -> Tallied:
        """Count `amount` more and return the sum; the first count sets when all of it is forgotten."""
        count, ends_in_ms = await self._redis.run(_TALLY, [_tally_key(key)], [amount, lasts_s])
        return Tallied(int(count), int(ends_in_ms) / 1000)

    async def read(self, key: str) -> Tallied:
        """Return the sum, counting nothing."""
        return await self.add(key, 0, 1)

    async def forget(self, key: str) -> None:
        """Start from nothing."""
        await self._redis.call("DEL", _tally_key(key))


def offsets(zone: tzinfo, around: float) -> tuple[int, ...]:
    """List a zone's UTC offsets around a Unix time, flat: from when (seconds), offset (seconds), and so on.

    The first holds from before the table on, the last for ever after it.
    """
    at = math.floor(around) - TABLE_REACH_S
    end = math.floor(around) + TABLE_REACH_S
    table = [at, _offset(zone, at)]
    while at < end:
        later = at + _SAMPLE_S
        if (offset := _offset(zone, later)) != table[-1]:
            table += [_turn(zone, at, later), offset]
        at = later
    return tuple(table)


def _turn(zone: tzinfo, before: int, after: int) -> int:
    old = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: tzinfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
    return round(offset.total_seconds())


def _windows(reply: Sequence[bytes | int]) -> tuple[Window, ...]:
    now, hour_limit, hour, hour_opens, day_limit, day, day_opens = (int(part) for part in reply[2:9])
    windows = (
        Window("per_hour", hour_limit, hour, hour_opens, hour_opens - now),
        Window("per_day", day_limit, day, day_opens, day_opens - now),
    )
    if reply[9] == b"":
        return windows
    return (*windows, Window("recipients_per_day", int(reply[9]), int(reply[10]), day_opens, day_opens - now))


def _counts_key(username: str) -> str:
    return f"imsg:used:{{{user_key(username)}}}"


def _tally_key(key: str) -> str:
    return f"imsg:tally:{key}"
