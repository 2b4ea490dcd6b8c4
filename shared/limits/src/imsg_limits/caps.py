"""Caps: how many messages one address gets, from one user and from all, within a rolling period.

An address is known by its digest alone. For each address and method there is a sorted set of the messages of the last
day, `USER CATEGORY MESSAGE` by their time in milliseconds; a message is counted once, however often it is tried.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from imsg_contract.topology import CAPS, capped_key
from imsg_contract.wire import Category, Job, message_id
from imsg_limits.server_time import SERVER_TIME
from imsg_runtime.redis import Redis, Script

Scope = Literal["user", "all"]
"""The messages that a cap counts: those of the user who sends, or those of all users."""

Per = Literal["minute", "hour", "day"]

SECONDS: Mapping[Per, int] = {"minute": 60, "hour": 3_600, "day": 86_400}
_PERIODS: Mapping[int, Per] = {seconds: per for per, seconds in SECONDS.items()}

ANY_CATEGORY = "*"

MAX_CAP = 1_000
"""The greatest limit: a check reads an address' messages of a day."""

FRESH_S = 1.0
"""How long rows are used before they are read again: a change takes effect after that."""

AT_ONCE = 200
"""Addresses that are counted in one round trip."""

FIND_CAP = """
local function find_cap(key, rows, user, category, now_ms)
  local sent, reached, wait, at = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), 0, 0, 0
  for scope, of, seconds, limit in string.gmatch(rows, '(%a+) (%S+) (%d+) (%d+)\\n') do
    local lasts, times = tonumber(seconds) * 1000, {}
    for i = 1, #sent, 2 do
      local who, what = string.match(sent[i], '^(%S+) (%S+)')
      local is_counted = (scope == 'all' or who == user) and (of == '*' or what == category)
      if is_counted and tonumber(sent[i + 1]) > now_ms - lasts then times[#times + 1] = tonumber(sent[i + 1]) end
    end
    at = at + 1
    if #times >= tonumber(limit) then
      local opens = math.min(lasts, (times[#times - limit + 1] or now_ms) + lasts - now_ms)
      if opens > wait then reached, wait = at, opens end
    end
  end
  return reached, math.ceil(wait)
end
"""
"""Lua: the number of the row that is reached (of several the one that opens last; 0: none), and for how long (ms).

`rows` has a line `SCOPE CATEGORY SECONDS LIMIT` for each."""

_COUNT = """
local now_ms = math.floor({clock} * 1000)
local member = ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3]
if redis.call('ZSCORE', KEYS[1], member) then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now_ms - 86400000))
local reached = find_cap(KEYS[1], ARGV[4], ARGV[1], ARGV[2], now_ms)
if reached == 0 then
  redis.call('ZADD', KEYS[1], string.format('%d', now_ms), member)
  redis.call('PEXPIRE', KEYS[1], 86400000)
end
return reached
"""
"""KEYS: the address' messages. ARGV: user, category, message, rows. Counts the message, or returns the row reached."""


class CapRow(NamedTuple):
    """One cap: at most `limit` messages to one address in any such period, of one category or of all."""

    id: str
    method: str
    category: Category | None
    scope: Scope
    per: Per
    limit: int

    @property
    def key(self) -> tuple[str, Category | None, Scope, Per]:
        """What is counted: two rows of one list never count the same."""
        return self.method, self.category, self.scope, self.per


class CapCheck(NamedTuple):
    """The caps that a charge checks before it counts a single message."""

    key: str
    """The messages of its address."""
    user_id: str
    category: Category
    rows: tuple[CapRow, ...]

    @property
    def arguments(self) -> tuple[str, str, str]:
        """User, category and rows, as scripts read them."""
        return self.user_id, self.category.value, _write(self.rows)


def name_cap(method: str, category: Category | None, scope: Scope, per: Per) -> str:
    """Return the default id of a row, such as `sms_code_user_per_minute`."""
    return "_".join(part for part in (method, category, scope, "per", per) if part)


def encode_caps(rows: Iterable[CapRow]) -> str:
    """Encode rows, a line each, as auth publishes them."""
    lines = (
        f"{row.id} {row.method} {row.category or ANY_CATEGORY} {row.scope} {SECONDS[row.per]} {row.limit}\n"
        for row in rows
    )
    return "".join(lines)


def decode_caps(encoded: bytes) -> tuple[CapRow, ...]:
    """Decode rows."""
    rows = []
    for line in encoded.decode().splitlines():
        name, method, category, scope, seconds, limit = line.split(" ")[:6]  # a later version may add columns
        kind = None if category == ANY_CATEGORY else Category(category)
        rows.append(
            CapRow(name, method, kind, "user" if scope == "user" else "all", _PERIODS[int(seconds)], int(limit))
        )
    return tuple(rows)


class Caps:
    """The caps as auth publishes them, and the counts. Its methods raise RedisUnavailable, RedisRefused."""

    def __init__(
        self,
        redis: Redis,
        digest: Callable[[str], str],
        *,
        clock: str = SERVER_TIME,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """`digest` names an address in Redis; `clock` is the script's, `elapsed` measures the age of the rows."""
        self._redis = redis
        self._digest = digest
        self._elapsed = elapsed
        self._count = Script.of(FIND_CAP + _COUNT.format(clock=clock))
        self._rows: tuple[CapRow, ...] = ()
        self._fresh_until = float("-inf")

    async def find(self, method: str, category: Category) -> tuple[CapRow, ...]:
        """Return the rows for such messages; those read last where Redis has none, since it was flushed."""
        if self._elapsed() >= self._fresh_until:
            encoded = await self._redis.call("GET", CAPS)
            self._rows = self._rows if encoded is None else decode_caps(encoded)
            self._fresh_until = self._elapsed() + FRESH_S
        return tuple(row for row in self._rows if row.method == method and row.category in (None, category))

    async def prepare(self, method: str, category: Category, user_id: str, address: str) -> CapCheck | None:
        """Return the caps that a charge checks; None where the message has none."""
        rows = await self.find(method, category)
        return CapCheck(capped_key(method, self._digest(address)), user_id, category, rows) if rows else None

    async def count(self, job: Job, addresses: Mapping[int, str]) -> Mapping[int, CapRow]:
        """Count messages of a job, n → address; return those that are not to be sent, with the cap that is reached."""
        rows = await self.find(job.method, job.category)
        if not rows:
            return {}
        lines, numbers, reached = _write(rows), list(addresses), dict[int, CapRow]()
        for first in range(0, len(numbers), AT_ONCE):
            some = numbers[first : first + AT_ONCE]
            counts = [
                self._redis.run(
                    self._count,
                    [capped_key(job.method, self._digest(addresses[n]))],
                    [job.user_id, job.category.value, message_id(job.request, n), lines],
                )
                for n in some
            ]
            replies = await asyncio.gather(*counts)
            reached |= {n: rows[int(at) - 1] for n, at in zip(some, replies, strict=True) if int(at)}
        return reached


def _write(rows: Sequence[CapRow]) -> str:
    return "".join(f"{row.scope} {row.category or ANY_CATEGORY} {SECONDS[row.per]} {row.limit}\n" for row in rows)
