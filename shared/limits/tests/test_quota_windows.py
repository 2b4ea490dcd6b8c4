"""Windows turn by the server's clock in any time zone, through every change of it."""

import secrets
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from imsg_contract.topology import counts_key
from imsg_limits.quota import Charged, Cost, Exhausted, Quota, QuotaRow, name_row, offsets
from imsg_runtime.redis import Redis
from imsg_testing.quota import ID, SHANGHAI, Clockwork, cache_user, charge, exhaust
from imsg_testing.waiting import eventually


async def has_passed(quota: Quota, name: str) -> bool:
    """Return whether one more request is accepted."""
    return isinstance(await quota.charge(name, "nonce", 1, ID, Cost(1)), Charged)


async def test_of_two_limits_that_open_at_midnight_the_day_is_named(redis: Redis, name: str) -> None:
    """The last hour and the day open at once."""
    await cache_user(redis, name, per_hour=1, per_day=1)
    clockwork = Clockwork(redis, "Asia/Shanghai")
    await clockwork.go("2026-11-25 23:30")
    await charge(clockwork.quota, name)
    assert (await exhaust(clockwork.quota, name)).window.row.id == "per_day"


async def test_the_very_windows_charged_are_given_back(redis: Redis, name: str) -> None:
    """A request charged at 23:59:59 must not make the new day longer."""
    await cache_user(redis, name)
    clock = Clockwork(redis, "Asia/Shanghai")
    await clock.go("2026-11-24 23:59:59")
    old = await charge(clock.quota, name, recipients=4)
    await clock.go("2026-11-25 00:00:00")
    await charge(clock.quota, name, recipients=2)
    await clock.quota.refund(old.charge)
    used = await clock.quota.read_used(name, ID)
    assert (used.hour, used.day, used.recipients) == (1, 1, 2)
    await clock.go("2026-11-24 23:59:59")
    assert (await clock.quota.read_used(name, ID)).day == 0


async def test_windows_turn_with_the_hour_and_the_day_of_the_zone(redis: Redis, name: str) -> None:
    """Not of UTC: Shanghai's day turns at 16:00 UTC."""
    await cache_user(redis, name, per_hour=1, per_day=2)
    clock = Clockwork(redis, "Asia/Shanghai")
    await clock.set(datetime(2026, 11, 24, 14, 59, 59, tzinfo=UTC))
    await charge(clock.quota, name)
    assert (await exhaust(clock.quota, name)).window.opens_in_s == 1
    await clock.set(datetime(2026, 11, 24, 15, 0, 0, tzinfo=UTC))
    await charge(clock.quota, name)
    await clock.set(datetime(2026, 11, 24, 15, 59, 59, tzinfo=UTC))
    answer = await exhaust(clock.quota, name)
    assert answer.window.opens_at == datetime(2026, 11, 24, 16, tzinfo=UTC).timestamp()
    await clock.set(datetime(2026, 11, 24, 16, 0, 0, tzinfo=UTC))
    await charge(clock.quota, name)


async def test_the_hour_that_comes_twice_is_two_windows_of_one_day(redis: Redis, name: str) -> None:
    """Berlin goes from 03:00 back to 02:00: a day of 25 hours."""
    await cache_user(redis, name, per_hour=1, per_day=100)
    clock = Clockwork(redis, "Europe/Berlin")
    await clock.go("2026-10-25 02:30", fold=0)
    first = await charge(clock.quota, name)
    assert first.windows[0].opens_in_s == 1800
    await exhaust(clock.quota, name)
    await clock.go("2026-10-25 02:00", fold=1)
    await charge(clock.quota, name)
    await clock.go("2026-10-25 02:59", fold=1)
    await exhaust(clock.quota, name)
    await clock.go("2026-10-25 03:00")
    assert (await charge(clock.quota, name)).windows[1].used == 3


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
async def test_a_day_is_one_window_however_long_it_is(redis: Redis, name: str, date: str, hours: int) -> None:
    """From midnight to midnight of the zone."""
    await cache_user(redis, name, per_hour=1000, per_day=1000)
    clock = Clockwork(redis, "Europe/Berlin")
    midnight = datetime.fromisoformat(date).replace(tzinfo=clock.zone)
    for hour in range(hours):
        await clock.set(datetime.fromtimestamp(midnight.timestamp() + hour * 3600, UTC))
        day = (await charge(clock.quota, name)).windows[1]
        assert day.used == hour + 1
        assert day.opens_in_s == (hours - hour) * 3600
    await clock.set(datetime.fromtimestamp(midnight.timestamp() + hours * 3600, UTC))
    assert (await charge(clock.quota, name)).windows[1].used == 1


async def test_a_shift_of_half_an_hour_starts_a_window_of_its_own(redis: Redis, name: str) -> None:
    """Lord Howe goes from 02:00 back to 01:30."""
    await cache_user(redis, name, per_hour=1, per_day=100)
    clock = Clockwork(redis, "Australia/Lord_Howe")
    await clock.go("2026-04-05 01:45", fold=0)
    assert (await charge(clock.quota, name)).windows[0].opens_in_s == 900
    await clock.go("2026-04-05 01:30", fold=1)
    assert (await charge(clock.quota, name)).windows[0].opens_in_s == 1800
    await exhaust(clock.quota, name)
    await clock.go("2026-04-05 02:00")
    await charge(clock.quota, name)


async def test_hours_of_a_zone_with_half_an_hour_turn_by_its_own_clock(redis: Redis, name: str) -> None:
    """Kolkata is 5:30 from UTC."""
    await cache_user(redis, name, per_hour=1)
    clock = Clockwork(redis, "Asia/Kolkata")
    await clock.set(datetime(2026, 11, 24, 10, 0, tzinfo=UTC))
    assert (await charge(clock.quota, name)).windows[0].opens_in_s == 1800
    await clock.set(datetime(2026, 11, 24, 10, 30, tzinfo=UTC))
    await charge(clock.quota, name)


async def test_a_day_that_begins_at_one_is_opened_at_one(redis: Redis, name: str) -> None:
    """Cairo springs from 00:00 to 01:00: there is no midnight."""
    await cache_user(redis, name, per_hour=100, per_day=1)
    clock = Clockwork(redis, "Africa/Cairo")
    await clock.go("2026-04-23 23:59:00")
    await charge(clock.quota, name)
    assert (await exhaust(clock.quota, name)).window.opens_in_s == 60
    await clock.go("2026-04-24 01:00:00")
    await charge(clock.quota, name)


@pytest.mark.parametrize("zone", ["Africa/Casablanca", "America/St_Johns", "Pacific/Chatham", "Africa/Cairo", "UTC"])
async def test_the_script_agrees_with_the_zone_database_at_every_quarter(redis: Redis, name: str, zone: str) -> None:
    """Around each change of 2026: the windows end exactly where the wall clock's hour or date first differ."""
    clock = Clockwork(redis, zone)
    table = offsets(clock.zone, datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    changes = table[2::2] or (int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()),)
    for at in (change + quarter * 900 - 5 for change in changes for quarter in range(-6, 7)):
        await clock.set(datetime.fromtimestamp(at, UTC))
        minute, hour, day, month = (await clock.quota.read_used(name, ID, EACH_PERIOD)).windows
        here, before, opens = (datetime.fromtimestamp(t, clock.zone) for t in (at, hour.opens_at - 1, hour.opens_at))
        assert (before.hour, before.utcoffset()) == (here.hour, here.utcoffset())
        assert (opens.hour, opens.utcoffset()) != (here.hour, here.utcoffset())
        assert datetime.fromtimestamp(day.opens_at - 1, clock.zone).date() == here.date()
        assert datetime.fromtimestamp(day.opens_at, clock.zone).date() > here.date()
        assert datetime.fromtimestamp(month.opens_at - 1, clock.zone).month == here.month
        assert datetime.fromtimestamp(month.opens_at, clock.zone).month == here.month % 12 + 1
        assert minute.opens_in_s == 60 - here.second


EACH_PERIOD = tuple(
    QuotaRow(name_row("requests", per, None), "requests", per, 9) for per in ("minute", "hour", "day", "month")
)


@pytest.mark.parametrize(
    ("zone", "at", "opens"),
    [
        ("Asia/Shanghai", "2028-02-28 12:00", "2028-03-01 00:00"),  # a leap year
        ("Asia/Shanghai", "2027-02-01 00:00", "2027-03-01 00:00"),
        ("Asia/Shanghai", "2100-02-28 23:59:59", "2100-03-01 00:00"),  # none, though it divides by four
        ("America/New_York", "2026-10-31 23:00", "2026-11-01 00:00"),
        ("America/New_York", "2026-11-01 00:30", "2026-12-01 00:00"),  # the clock changes on the 1st
        ("Europe/Berlin", "2026-12-31 23:59:59", "2027-01-01 00:00"),
        ("Pacific/Kiritimati", "2026-03-31 23:59:59", "2026-04-01 00:00"),
    ],
)
async def test_a_month_ends_with_the_calendar_of_the_zone(
    redis: Redis, name: str, zone: str, at: str, opens: str
) -> None:
    clock, row = Clockwork(redis, zone), EACH_PERIOD[-1]._replace(limit=1)
    await cache_user(redis, name, rows=(row,))
    await clock.go(at)
    await charge(clock.quota, name)
    refused = (await exhaust(clock.quota, name)).window
    assert refused.row.id == "per_month"
    assert datetime.fromtimestamp(refused.opens_at, clock.zone) == datetime.fromisoformat(opens).replace(
        tzinfo=clock.zone
    )
    await clock.go(opens)
    await charge(clock.quota, name)


class Turning(tzinfo):
    """A zone whose clock hour turns at a time of the test's choice."""

    def __init__(self, turns_at: int) -> None:
        self._offset = timedelta(seconds=-(turns_at % 3600))

    def utcoffset(self, _: datetime | None) -> timedelta:
        """Return the same offset always."""
        return self._offset

    def dst(self, _: datetime | None) -> None:
        """Return None: there is no daylight saving time."""

    def tzname(self, _: datetime | None) -> str:
        """Return the zone's name."""
        return "turning"

    def fromutc(self, at: datetime) -> datetime:
        """Return the local time."""
        return at + self._offset


async def test_windows_turn_by_the_clock_of_the_server(redis: Redis, name: str) -> None:
    """A gateway an hour off changes nothing: `now` only chooses the table."""

    async def read_server_s() -> int:
        return int((await redis.call("TIME"))[0])

    async def has_turned() -> bool:
        """Not where the machine stands still until the turn: then another user sees another one."""
        username, turns_at = f"{name}-{secrets.token_hex(4)}", await read_server_s() + 2
        await cache_user(redis, username, per_hour=1, per_day=1000)
        quota = Quota(redis, Turning(turns_at), now=lambda: turns_at - 3600.0)
        first = await charge(quota, username)
        if first.windows[0].opens_at != turns_at or not isinstance(
            answer := await quota.charge(username, "nonce", 1, ID, Cost(1)), Exhausted
        ):
            return False
        assert 0 < answer.window.opens_in_s <= 2
        await eventually(lambda: has_passed(quota, username))
        assert await read_server_s() >= turns_at
        return True

    await eventually(has_turned, 180)


async def test_counts_expire_by_themselves_and_old_windows_go(redis: Redis, name: str) -> None:
    """A user who sends every hour for a week keeps a handful of fields."""
    await cache_user(redis, name, per_hour=10, per_day=1000)
    clock = Clockwork(redis, "Asia/Shanghai")
    for hour in range(7 * 24):
        await clock.set(datetime.fromtimestamp(1_764_000_000 + hour * 3600, UTC))
        last = (await charge(clock.quota, name)).charge
    assert await redis.call("HLEN", counts_key(last.username)) <= 30
    assert 0 < await redis.call("TTL", counts_key(last.username)) <= 2 * 86_400 + 3600


async def test_a_zone_without_changes_has_a_table_of_one_line() -> None:
    """Nothing is sent along that is not needed."""
    now = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    assert offsets(SHANGHAI, now)[1:] == (28_800,)
    berlin = offsets(ZoneInfo("Europe/Berlin"), now)
    assert berlin[1:] == (7200, int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()), 3600)


class Watch:
    """A gateway's own clock, turned by hand."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def read(self) -> float:
        """Return the time."""
        return self.at_s


async def test_windows_and_time_read_a_moment_ago_are_not_read_again(redis: Redis, name: str) -> None:
    """The answers are the same: for five seconds, and not within a second of a window's end."""
    await cache_user(redis, name, per_hour=10_000, per_day=10_000, recipients_per_day=5_000)
    watch, server_s, read = Watch(), 1_900_000_000, f"read by {name}"
    clock = f"(redis.call('INCR', '{read}') and {server_s})"
    quota = Quota(redis, Turning(server_s + 3600), elapsed=watch.read, clock=clock)
    fresh = Quota(redis, Turning(server_s + 3600), elapsed=None, clock=clock)

    async def count_times() -> int:
        return int(await redis.call("GET", read))

    told = [await quota.charge(name, "nonce", 1, ID, Cost(1, kind="single")) for _ in range(5)]
    assert await count_times() == 1
    again = await fresh.charge(name, "nonce", 1, ID, Cost(1, kind="single"))
    assert await count_times() == 2
    for number, answer in enumerate((*told, again), 1):
        assert isinstance(answer, Charged)
        assert isinstance(again, Charged)
        assert answer.charge == again.charge
        assert [window.used for window in answer.windows] == [number] * 3
        assert [window.opens_at for window in answer.windows] == [window.opens_at for window in again.windows]
        assert [window.opens_in_s for window in answer.windows] == [window.opens_in_s for window in again.windows]
    watch.at_s += 5
    await charge(quota, name)
    assert await count_times() == 3

    soon = Quota(redis, Turning(server_s + 4), elapsed=watch.read, clock=clock)
    for wait_s, times in ((0.0, 4), (2.5, 4), (1.0, 5)):
        watch.at_s += wait_s
        await charge(soon, name)
        assert await count_times() == times, "a window may turn at any moment"
