"""The quotas of users and of the installation: charge a request, refund it, read the usage."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from imsg_contract.api_keys import key_field
from imsg_contract.topology import COUNTS_OF_ALL, QUOTAS_OF_ALL, THRESHOLDS, counts_key, refunded_key, user_key
from imsg_contract.wire import Category, ChargeRecord
from imsg_limits.quota.results import (
    BURST_S,
    MAX_BURST,
    CachedUser,
    Capped,
    Charged,
    CodesForbidden,
    Cost,
    CountryNotAllowed,
    Exhausted,
    Scope,
    SendingDisabled,
    StaleCategory,
    StaleToken,
    TokenRevoked,
    Usage,
    UserNotCached,
    Window,
)
from imsg_limits.quota.rows import (
    ALWAYS_COUNTED,
    PERIODS,
    TESTS_PER_DAY,
    UNITS,
    QuotaRow,
    Unit,
    decode_rows,
    encode_rows,
    encode_user_rows,
)
from imsg_limits.quota.scripts import CHARGE, CHARGE_AND_RETURN_TIME, REFUND, USED
from imsg_limits.quota.zone import offsets
from imsg_limits.server_time import SERVER_TIME
from imsg_runtime.redis import Argument, Redis, Script

ChargeResult = (
    Charged
    | Exhausted
    | Capped
    | CountryNotAllowed
    | StaleCategory
    | SendingDisabled
    | CodesForbidden
    | StaleToken
    | UserNotCached
    | TokenRevoked
)

_TABLE_AGE_S = 86_400

REMEMBERED_S = 5.0
"""How long charges reuse the windows and the time that an earlier charge returned."""

MARGIN_S = 1.0
"""They are not reused so close to a window's end, where only the server's clock tells the window."""

REFUNDED_S = 62 * 86_400
"""How long refunds are remembered: two months, as long as counts of a month are kept."""

SLOWEST_S = 0.05
"""A time is not reused where its reply took longer than this."""


@dataclass(frozen=True, slots=True)
class _Times:
    """The current windows, and the server's time at a moment of this process."""

    at: float
    """This process's monotonic clock, in seconds."""
    now: float
    """The server's clock, in Unix seconds."""
    fields: tuple[str, ...]
    """The end of the fields of the counts, by period (`PERIODS`)."""
    opens: tuple[int, ...]
    """When the next windows open."""

    def time_at(self, at: float) -> float | None:
        """Return the server's time at a moment; None where that is too far away, or a window may have ended by then."""
        now = self.now + at - self.at
        is_near = 0 <= at - self.at < REMEMBERED_S and now < min(self.opens) - MARGIN_S
        return now if is_near else None

    def field_of(self, row: QuotaRow) -> str:
        """Return the field of a row's current count."""
        return row.field + self.fields[PERIODS.index(row.letter)]

    def show(self, scope: Scope, row: QuotaRow, limit: int, used: int, now: int) -> Window:
        """Return a row in its current window."""
        opens_at = self.opens[PERIODS.index(row.letter)]
        return Window(row, scope, limit, used, opens_at, opens_at - now)


class Quota:
    """The limits of users. Every method raises RedisUnavailable, RedisRefused."""

    def __init__(
        self,
        redis: Redis,
        zone: tzinfo,
        *,
        now: Callable[[], float] = time.time,
        clock: str = SERVER_TIME,
        elapsed: Callable[[], float] | None = time.monotonic,
    ) -> None:
        """`zone` is that of the windows, `clock` the script's; `now` only chooses the UTC offsets that are passed.

        `elapsed` measures the age of a returned time; None: no time is reused.
        """
        self._redis = redis
        self._zone = zone
        self._now = now
        self._elapsed = elapsed
        self._times: _Times | None = None
        self._charge, self._charge_and_return_time = (
            Script.of(source.format(clock=clock, seconds=BURST_S, most=MAX_BURST))
            for source in (CHARGE, CHARGE_AND_RETURN_TIME)
        )
        self._used = Script.of(USED.format(clock=clock))
        self._table: tuple[int, ...] = ()
        self._table_at = -math.inf

    async def charge(
        self,
        username: str,
        nonce: str,
        epoch: int,
        user_id: str,
        cost: Cost,
        *,
        key: bytes | None = None,
    ) -> ChargeResult:
        """Check the token, `available` and the quotas, and count one request, in one atomic step.

        The caller has verified the token's MAC against `epoch` and `user_id`. For an API key `nonce` is its digest, and
        `key` what `read_cached_user` returned of it; StaleToken says that it was changed since, and `epoch` is not
        read. A cap is looked at and not counted.
        The counts are kept under the name and hold the user's id: a user who is registered anew under a name starts
        from nothing. A test is charged to `TESTS_PER_DAY` alone.
        """
        began_at = math.nan if self._elapsed is None else self._elapsed()
        times = self._times
        now = None if times is None else times.time_at(began_at)
        arguments: list[Argument] = [
            epoch if key is None else key,
            _field(nonce, is_key=key is not None),
            cost.recipients,
            user_id,
            "" if cost.kind is None else cost.kind[0],
            cost.segments,
            cost.method,
            *(("", "", "") if (cap := cost.cap) is None else cap.arguments),
            ",".join(cost.countries),
            cost.default_category or "",
            encode_rows((TESTS_PER_DAY,)) if cost.is_test else "",
        ]
        script = self._charge
        if times is None or now is None:
            script = self._charge_and_return_time
            arguments += self._offsets()
        else:
            arguments += (f"{now:.6f}", *times.fields, *times.opens)
        counts = counts_key(username, of_tests=cost.is_test)
        keys = [user_key(username), counts, QUOTAS_OF_ALL, COUNTS_OF_ALL, THRESHOLDS]
        reply = await self._redis.run(script, keys if cap is None else [*keys, cap.key], arguments)
        if cap is not None and reply[0] == b"capped":
            return Capped(cap.rows[int(reply[1]) - 1], int(reply[2]) / 1_000)
        if isinstance(reply[0], list):
            reply, returned = reply
            times = self._read_windows(returned, began_at)
            now = times.now
        elif reply[0] not in (b"charged", b"exhausted"):
            return _read_refusal(reply)
        assert times is not None  # noqa: S101  without windows the reply has their times
        assert now is not None  # noqa: S101
        own, of_all = decode_rows(reply[5]), decode_rows(reply[6])
        windows = _list_windows(own, of_all, reply[8:], times, math.floor(now))
        if reply[0] == b"charged":
            charge = ChargeRecord.model_construct(
                username=username,
                user_id=user_id,
                is_test=cost.is_test,
                own={times.field_of(row): units for row in own if (units := _count(row, cost))},
                of_all={times.field_of(row): units for row in of_all if (units := _count(row, cost))},
            )
            return Charged(windows, charge, reply[2] == 1, reply[3], reply[4].decode(), reply[7].decode())
        exceeded = [window for window in windows if 0 < _count(window.row, cost) > window.left]
        # Of those that open at once, as the hour and the day do at midnight, the longer one.
        return Exhausted(windows, max(reversed(exceeded), key=lambda window: window.opens_at))

    async def read_cached_user(
        self, username: str, nonce: str, *, is_key: bool = False
    ) -> CachedUser | UserNotCached | TokenRevoked:
        """Return the cached user without counting: to learn the epoch, or where only the token is checked.

        `is_key` says that `nonce` is the digest of an API key.
        """
        fields = ("epoch", "role", _field(nonce, is_key=is_key), "id", "since", "events", "department")
        epoch, role, returned, owner, since, events, department = await self._redis.call(
            "HMGET", user_key(username), *fields
        )
        if epoch is None:
            return UserNotCached()
        if (returned is not None) is not is_key:
            return TokenRevoked()
        at = datetime.fromtimestamp(int(since) / 1_000, UTC)
        named = (department or b"").decode()
        return CachedUser(int(epoch), role.decode(), owner.decode(), at, int(events or 0), returned, named)

    async def refund(self, charge: ChargeRecord) -> None:
        """Refund a whole charge in its windows, never below 0. Call it once for a charge at most."""
        await self._refund(charge, charge.own, charge.of_all)

    async def refund_part(self, charge: ChargeRecord, request: str, part: str, unsent: Mapping[Unit, int]) -> bool:
        """Refund a part of a request's charge to the windows charged; return False where it was refunded before.

        `part` names what was not sent, such as `3` for message 3, and the same part always has the same name. `unsent`
        is how much of each unit it is; at most the charge is refunded.
        """
        own, of_all = (
            {field: back for field, charged in fields.items() if (back := min(charged, unsent.get(UNITS[field[0]], 0)))}
            for fields in (charge.own, charge.of_all)
        )
        return await self._refund(charge, own, of_all, request, part)

    async def _refund(
        self, charge: ChargeRecord, own: Mapping[str, int], of_all: Mapping[str, int], request: str = "", part: str = ""
    ) -> bool:
        counted: list[str | int] = [word for field in (*own.items(), *of_all.items()) for word in field]
        keys = [counts_key(charge.username, of_tests=charge.is_test), COUNTS_OF_ALL, refunded_key(request)]
        reply = await self._redis.run(REFUND, keys, [part, REFUNDED_S, charge.user_id, len(own), *counted])
        return int(reply) == 1

    async def read_used_by_tests(self, username: str, user_id: str) -> Usage:
        """Return what is used of the quota of a user's tests."""
        return await self._read_used(counts_key(username, of_tests=True), user_id, (TESTS_PER_DAY,), ())

    async def read_used(
        self, username: str, user_id: str, rows: Iterable[QuotaRow] = (), rows_of_all: Iterable[QuotaRow] = ()
    ) -> Usage:
        """Return what is used of some quotas in their current windows, not by an earlier user of the name."""
        return await self._read_used(counts_key(username), user_id, rows, rows_of_all)

    async def _read_used(
        self, counts: str, user_id: str, rows: Iterable[QuotaRow], rows_of_all: Iterable[QuotaRow]
    ) -> Usage:
        encoded = (encode_user_rows(rows), encode_rows(rows_of_all))
        arguments: list[str | int] = [user_id, *encoded, *self._offsets()]
        used, returned = await self._redis.run(self._used, [counts, COUNTS_OF_ALL], arguments)
        times = _read_times(returned, math.nan)
        own, of_all = (decode_rows(text.encode()) for text in encoded)
        windows = _list_windows(own, of_all, used, times, math.floor(times.now))
        counted = {row.key: int(number) for row, number in zip(own, used, strict=False)}
        return Usage(windows, *(counted[row.key] for row in ALWAYS_COUNTED))

    def _read_windows(self, returned: Sequence[bytes | int], began_at: float) -> _Times:
        """Read the windows that a script returned, and remember them where the reply was quick."""
        ended_at = math.nan if self._elapsed is None else self._elapsed()
        times = _read_times(returned, ended_at)
        if ended_at - began_at < SLOWEST_S:
            self._times = times
        return times

    def _offsets(self) -> tuple[int, ...]:
        now = self._now()
        if abs(now - self._table_at) > _TABLE_AGE_S:
            self._table, self._table_at = offsets(self._zone, now), now
        return self._table


def _field(nonce: str, *, is_key: bool) -> str:
    """Return the field that says whether a token was revoked, or that a key is in force."""
    return key_field(nonce) if is_key else f"revoked:{nonce}"


def _read_refusal(reply: Sequence[bytes]) -> ChargeResult:
    match reply[0]:
        case b"stale":
            return StaleToken(int(reply[1]), reply[2].decode())
        case b"category":
            return StaleCategory(Category(reply[1].decode()))
        case b"country":
            return CountryNotAllowed(reply[1].decode())
    return _REFUSALS[reply[0]]


_REFUSALS: Mapping[bytes, UserNotCached | TokenRevoked | SendingDisabled | CodesForbidden] = {
    b"not_cached": UserNotCached(),
    b"revoked": TokenRevoked(),
    b"disabled": SendingDisabled(),
    b"no_codes": CodesForbidden(),
}


def _read_times(returned: Sequence[bytes | int], at: float) -> _Times:
    fields = tuple(field.decode() for field in returned[1:5] if isinstance(field, bytes))
    return _Times(at, float(returned[0]), fields, tuple(int(number) for number in returned[5:9]))


def _list_windows(
    own: Sequence[QuotaRow], of_all: Sequence[QuotaRow], used: Sequence[int], times: _Times, now: int
) -> tuple[Window, ...]:
    """Return the quotas in their windows; what is only counted is none."""
    windows = []
    for at, (row, number) in enumerate(zip((*own, *of_all), used, strict=True)):
        if row.limit is not None:
            windows.append(times.show("user" if at < len(own) else "all", row, row.limit, int(number), now))
    return tuple(windows)


def _count(row: QuotaRow, cost: Cost) -> int:
    """Return what a request counts in a row."""
    if row.method not in (None, cost.method):
        return 0
    match row.counts:
        case "requests":
            return 0 if cost.kind == "leg" else 1
        case "recipients":
            return cost.recipients
        case "segments":
            return cost.segments
