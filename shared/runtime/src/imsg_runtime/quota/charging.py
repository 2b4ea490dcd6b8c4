"""The limits of the users: charged, given back, read."""

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo

from imsg_contract.topology import counts_key, user_key
from imsg_runtime.quota.answers import (
    AT_ONCE_S,
    MOST_AT_ONCE,
    Charge,
    Charged,
    Disabled,
    Exhausted,
    Kind,
    Known,
    NoCodes,
    NoMirror,
    Revoked,
    Stale,
    Used,
    Window,
)
from imsg_runtime.quota.scripts import CHARGE, GIVE_BACK, SERVER_TIME, USED
from imsg_runtime.quota.zone import offsets
from imsg_runtime.redis import Redis, Script

_TABLE_AGE_S = 86_400


class Quota:
    """The limits of the users. Every method raises RedisUnavailable and RedisRefused as runtime.redis does."""

    def __init__(
        self, redis: Redis, zone: tzinfo, *, now: Callable[[], float] = time.time, clock: str = SERVER_TIME
    ) -> None:
        """Take the zone of the windows; `now` only chooses which offsets are sent along, `clock` is the script's."""
        self._redis = redis
        self._zone = zone
        self._now = now
        self._charge = Script.of(CHARGE.format(clock=clock, seconds=AT_ONCE_S, most=MOST_AT_ONCE))
        self._used = Script.of(USED.format(clock=clock))
        self._table: tuple[int, ...] = ()
        self._table_at = -math.inf

    async def charge(
        self,
        username: str,
        nonce: str,
        epoch: int,
        recipients: int,
        user_id: str | None = None,
        *,
        kind: Kind | None = None,
    ) -> Charged | Exhausted | Disabled | NoCodes | Stale | NoMirror | Revoked:
        """Judge the token, `available` and the limits, and count one request, all in one step.

        `epoch` and `user_id` are those the caller has verified the token's MAC against. The counts are kept under the
        name, where every version looks for them, and say whose they are: a user registered anew starts from nothing.
        """
        key = counts_key(username)
        counted = "" if kind is None else kind[0]
        arguments: list[str | int] = [epoch, nonce, recipients, user_id or "", counted, *self._offsets()]
        reply = await self._redis.run(self._charge, [user_key(username), key], arguments)
        if reply[0] not in (b"charged", b"exhausted"):
            return _why_not(reply)
        role, windows = reply[1].decode(), _windows(reply)
        if reply[0] == b"charged":
            hour, day, people, owner = (field.decode() for field in reply[11:15])
            return Charged(
                role, windows, Charge(key, ((hour, 1), (day, 1), (people, recipients)), owner), reply[15] == 1
            )
        costs = {"per_hour": 1, "per_day": 1, "recipients_per_day": recipients}
        in_the_way = [window for window in windows if window.left < costs[window.name]]
        # Of those that open at once, as the hour and the day do at midnight, the longer one.
        return Exhausted(role, windows, max(reversed(in_the_way), key=lambda window: window.opens_at))

    async def peek(self, username: str, nonce: str) -> Known | NoMirror | Revoked:
        """Read the mirror, counting nothing: to learn the epoch, or where only the token is to be judged."""
        fields = ("epoch", "role", "available", f"revoked:{nonce}", "id", "since")
        epoch, role, available, revoked, owner, since = await self._redis.call("HMGET", user_key(username), *fields)
        if epoch is None:
            return NoMirror()
        if revoked is not None:
            return Revoked()
        if owner is None or since is None:
            return Known(int(epoch), role.decode(), available == b"1")
        at = datetime.fromtimestamp(int(since) / 1_000, UTC)
        return Known(int(epoch), role.decode(), available == b"1", owner.decode(), at)

    async def give_back(self, charge: Charge) -> None:
        """Undo a charge in the windows it was made in, never below 0. Only once per charge."""
        counted: list[str | int] = [part for field in charge.fields for part in field]
        await self._redis.run(GIVE_BACK, [charge.key], [charge.user_id, *counted])

    async def read_used(self, username: str, user_id: str = "") -> Used:
        """Read what a user has used of the present windows, counting nothing; of its predecessor's, nothing."""
        arguments: list[str | int] = [user_id, *self._offsets()]
        reply: Sequence[int] = await self._redis.run(self._used, [counts_key(username)], arguments)
        return Used(*map(int, reply))

    def _offsets(self) -> tuple[int, ...]:
        now = self._now()
        if abs(now - self._table_at) > _TABLE_AGE_S:
            self._table, self._table_at = offsets(self._zone, now), now
        return self._table


def _why_not(reply: Sequence[bytes]) -> Disabled | NoCodes | Stale | NoMirror | Revoked:
    match reply[0]:
        case b"no_mirror":
            return NoMirror()
        case b"stale":
            return Stale(int(reply[1]), reply[2].decode() or None)
        case b"revoked":
            return Revoked()
        case b"disabled":
            return Disabled(reply[1].decode())
    return NoCodes(reply[1].decode())


def _windows(reply: Sequence[bytes | int]) -> tuple[Window, ...]:
    now, hour_limit, hour, hour_opens, day_limit, day, day_opens = (int(part) for part in reply[2:9])
    windows = (
        Window("per_hour", hour_limit, hour, hour_opens, hour_opens - now),
        Window("per_day", day_limit, day, day_opens, day_opens - now),
    )
    if reply[9] == b"":
        return windows
    return (*windows, Window("recipients_per_day", int(reply[9]), int(reply[10]), day_opens, day_opens - now))
