"""Limits hold to the request whatever the race, and windows turn by the server's clock in any time zone."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from imsg_contract.topology import user_key
from imsg_runtime.quota import (
    Charged,
    Disabled,
    Exhausted,
    Kind,
    Known,
    NoCodes,
    NotCached,
    Quota,
    Revoked,
    Stale,
    Tallies,
    offsets,
)
from imsg_runtime.redis import Redis, connect
from imsg_testing.waiting import eventually

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to the run's Valkey."""
    async with connect(valkey_url) as redis:
        yield redis


@pytest.fixture
def name() -> str:
    """Name a user no other test has."""
    return f"张-{secrets.token_hex(4)}"


async def cache_user(redis: Redis, name: str, revoked: str = "never", **fields: str | int) -> None:
    """Write a user into the cache, with what is not said as it is for a new user."""
    usual: dict[str, str | int] = {
        "epoch": 1, "role": "user", "available": 1, "per_hour": 5, "per_day": 20, "recipients_per_day": "",
        f"revoked:{revoked}": 99,
    }  # fmt: skip
    pairs = (usual | fields).items()
    await redis.call("DEL", user_key(name))
    await redis.call("HSET", user_key(name), *(part for pair in pairs for part in pair))


async def charge(quota: Quota, name: str, recipients: int = 1) -> Charged:
    """Charge what must pass."""
    answer = await quota.charge(name, "nonce", 1, recipients)
    assert isinstance(answer, Charged)
    return answer


async def exhaust(quota: Quota, name: str, recipients: int = 1) -> Exhausted:
    """Charge what must not pass."""
    answer = await quota.charge(name, "nonce", 1, recipients)
    assert isinstance(answer, Exhausted)
    return answer


async def has_passed(quota: Quota, name: str) -> bool:
    """Tell whether one more was let through."""
    return isinstance(await quota.charge(name, "nonce", 1, 1), Charged)


async def is_forgotten(tallies: Tallies, key: str) -> bool:
    """Tell whether nothing is counted."""
    return (await tallies.read(key)).count == 0


class Clockwork:
    """A quota whose server clock the test sets: its time is read from a key in the same script."""

    def __init__(self, redis: Redis, zone: str) -> None:
        self._redis = redis
        self._key = f"clock:{secrets.token_hex(4)}"
        self._at = 0.0
        self.zone = ZoneInfo(zone)
        clock = f"tonumber(redis.call('GET', '{self._key}'))"
        self.quota = Quota(redis, self.zone, now=lambda: self._at, clock=clock, elapsed=None)

    async def set(self, at: datetime) -> None:
        """Set the clock."""
        self._at = at.timestamp()
        await self._redis.call("SET", self._key, int(self._at))

    async def go(self, local: str, fold: int = 0) -> None:
        """Set the clock by the zone's wall clock, such as `2026-10-25 02:30` (fold 1: the second time it is so)."""
        await self.set(datetime.fromisoformat(local).replace(tzinfo=self.zone, fold=fold))


async def test_exactly_five_of_200_simultaneous_requests_pass_through_two_gateways(
    redis: Redis, valkey_url: str, name: str
) -> None:
    """Checking and counting is one step."""
    await cache_user(redis, name)
    async with connect(valkey_url) as other:
        gateways = [Quota(redis, SHANGHAI), Quota(other, SHANGHAI)]
        answers = await asyncio.gather(*(gateways[n % 2].charge(name, "nonce", 1, 1) for n in range(200)))
    assert sum(isinstance(answer, Charged) for answer in answers) == 5
    assert sum(isinstance(answer, Exhausted) for answer in answers) == 195


async def test_a_charge_tells_what_is_left(redis: Redis, name: str) -> None:
    """For the RateLimit headers."""
    await cache_user(redis, name, recipients_per_day=100)
    hour, day, people = (await charge(Quota(redis, SHANGHAI), name, recipients=7)).windows
    assert (hour.name, hour.limit, hour.used, hour.left) == ("per_hour", 5, 1, 4)
    assert (day.name, day.limit, day.used, day.left) == ("per_day", 20, 1, 19)
    assert (people.name, people.limit, people.used, people.left) == ("recipients_per_day", 100, 7, 93)
    assert 0 < hour.opens_in_s <= 3600
    assert 0 < day.opens_in_s <= 86_400
    assert datetime.fromtimestamp(day.opens_at, SHANGHAI).strftime("%H:%M:%S") == "00:00:00"
    assert datetime.fromtimestamp(hour.opens_at, SHANGHAI).strftime("%M:%S") == "00:00"


async def charge_owned(quota: Quota, name: str, user_id: str) -> Charged:
    """Charge a user of an id, which must pass."""
    answer = await quota.charge(name, "nonce", 1, 1, user_id)
    assert isinstance(answer, Charged)
    return answer


async def test_a_user_registered_anew_under_a_name_starts_from_nothing(redis: Redis, name: str) -> None:
    """And what its predecessor is given back late is not its own."""
    quota = Quota(redis, SHANGHAI)
    await cache_user(redis, name, id="first")
    charge = (await charge_owned(quota, name, "first")).charge
    await cache_user(redis, name, id="second")
    assert (await quota.read_used(name, "second")).hour == 0
    assert (await charge_owned(quota, name, "second")).windows[0].used == 1
    await quota.give_back(charge)
    assert (await quota.read_used(name, "second")).hour == 1


async def test_an_upgrade_opens_no_window_anew(redis: Redis, name: str) -> None:
    """What was counted before users had ids counts on, and a gateway of before counts in the same place."""
    quota = Quota(redis, SHANGHAI)
    await cache_user(redis, name)
    await charge(quota, name)
    await cache_user(redis, name, id="first")
    assert (await quota.read_used(name, "first")).hour == 1
    assert (await charge_owned(quota, name, "first")).windows[0].used == 2
    await cache_user(redis, name)  # as an auth of before writes it
    assert (await charge(quota, name)).windows[0].used == 3


async def test_a_cached_user_that_has_an_id_now_wants_the_token_verified_by_it(redis: Redis, name: str) -> None:
    await cache_user(redis, name, id="first")
    assert await Quota(redis, SHANGHAI).charge(name, "nonce", 1, 1) == Stale(1, "first")
    assert await Quota(redis, SHANGHAI).charge(name, "nonce", 1, 1, "another") == Stale(1, "first")


async def test_a_limit_of_nought_lets_nothing_through(redis: Redis, name: str) -> None:
    """0 is a number, not `no limit`."""
    await cache_user(redis, name, per_hour=0)
    assert (await exhaust(Quota(redis, SHANGHAI), name)).window.name == "per_hour"


async def test_the_day_ends_what_the_hour_would_allow(redis: Redis, name: str) -> None:
    """And the refusal names the window that opens last."""
    await cache_user(redis, name, per_hour=2, per_day=2)
    quota = Quota(redis, SHANGHAI)
    await charge(quota, name)
    await charge(quota, name)
    answer = await exhaust(quota, name)
    assert answer.window.name == "per_day"
    assert answer.window.left == 0


async def test_of_two_limits_that_open_at_midnight_the_day_is_named(redis: Redis, name: str) -> None:
    """The last hour and the day open at once."""
    await cache_user(redis, name, per_hour=1, per_day=1)
    clockwork = Clockwork(redis, "Asia/Shanghai")
    await clockwork.go("2026-11-25 23:30")
    await charge(clockwork.quota, name)
    assert (await exhaust(clockwork.quota, name)).window.name == "per_day"


async def test_recipients_are_counted_by_head(redis: Redis, name: str) -> None:
    """One request of many counts once, and its people each."""
    await cache_user(redis, name, recipients_per_day=10)
    quota = Quota(redis, SHANGHAI)
    await charge(quota, name, recipients=8)
    answer = await exhaust(quota, name, recipients=3)
    assert (answer.window.name, answer.window.left) == ("recipients_per_day", 2)
    await charge(quota, name, recipients=2)


async def test_recipients_count_also_while_they_are_not_limited(redis: Redis, name: str) -> None:
    """So that a limit set at noon holds for the whole day."""
    await cache_user(redis, name)
    quota = Quota(redis, SHANGHAI)
    await charge(quota, name, recipients=8)
    await cache_user(redis, name, recipients_per_day=9)
    assert (await exhaust(quota, name, recipients=2)).window.used == 8


async def test_a_refused_request_counts_for_nothing(redis: Redis, name: str) -> None:
    """Whatever it was refused for."""
    await cache_user(redis, name, per_hour=1, recipients_per_day=5)
    quota = Quota(redis, SHANGHAI)
    await exhaust(quota, name, recipients=6)
    await quota.charge(name, "nonce", 99, 1)
    await quota.charge("nobody", "nonce", 1, 1)
    used = await quota.read_used(name)
    assert (used.hour, used.day, used.recipients) == (0, 0, 0)
    await charge(quota, name)


async def test_a_changed_mirror_holds_for_the_very_next_request(redis: Redis, name: str) -> None:
    """The script reads it in the same step."""
    quota = Quota(redis, SHANGHAI)
    await cache_user(redis, name, per_hour=1)
    await charge(quota, name)
    await exhaust(quota, name)
    await cache_user(redis, name, per_hour=2)
    await charge(quota, name)
    await cache_user(redis, name, per_hour=1)
    assert (await exhaust(quota, name)).window.left == 0


async def test_the_token_is_judged_in_the_same_step(redis: Redis, name: str) -> None:
    """Missing, of another epoch, logged out, not allowed to send: each said as itself, none of them counted."""
    quota = Quota(redis, SHANGHAI)
    assert await quota.charge(name, "nonce", 1, 1) == NotCached()
    await cache_user(redis, name, revoked="gone", epoch=8, role="admin")
    assert await quota.charge(name, "nonce", 1, 1) == Stale(8)
    assert await quota.charge(name, "gone", 8, 1) == Revoked()
    assert isinstance(await quota.charge(name, "nonce", 8, 1), Charged)
    await cache_user(redis, name, role="admin", available=0)
    assert await quota.charge(name, "nonce", 1, 1) == Disabled("admin")
    assert (await quota.read_used(name)).hour == 1


async def test_peeking_judges_the_token_and_counts_nothing(redis: Redis, name: str) -> None:
    """For requests that were refused for something else, and for every other URL."""
    quota = Quota(redis, SHANGHAI)
    assert await quota.peek(name, "nonce") == NotCached()
    await cache_user(redis, name, revoked="gone", epoch=2**53 - 1, role="admin", available=0)
    assert await quota.peek(name, "nonce") == Known(2**53 - 1, "admin", available=False)
    assert await quota.peek(name, "gone") == Revoked()
    assert (await quota.read_used(name)).hour == 0


async def test_what_is_given_back_may_be_used_again(redis: Redis, name: str) -> None:
    """Requests that were not accepted count for nothing."""
    await cache_user(redis, name, per_hour=1, recipients_per_day=3)
    quota = Quota(redis, SHANGHAI)
    answer = await charge(quota, name, recipients=3)
    await exhaust(quota, name)
    await quota.give_back(answer.charge)
    used = await quota.read_used(name)
    assert (used.hour, used.day, used.recipients) == (0, 0, 0)
    await charge(quota, name, recipients=3)


async def test_nothing_is_given_back_below_nought(redis: Redis, name: str) -> None:
    """Redis may have lost the counts in between."""
    await cache_user(redis, name)
    quota = Quota(redis, SHANGHAI)
    answer = await charge(quota, name, recipients=3)
    await redis.call("DEL", answer.charge.key)
    await quota.give_back(answer.charge)
    used = await quota.read_used(name)
    assert (used.hour, used.day, used.recipients) == (0, 0, 0)
    await charge(quota, name)
    await quota.give_back(answer.charge)
    await quota.give_back(answer.charge)
    assert (await quota.read_used(name)).hour == 0


async def test_the_very_windows_charged_are_given_back(redis: Redis, name: str) -> None:
    """A request charged at 23:59:59 must not make the new day longer."""
    await cache_user(redis, name)
    clock = Clockwork(redis, "Asia/Shanghai")
    await clock.go("2026-11-24 23:59:59")
    old = await charge(clock.quota, name, recipients=4)
    await clock.go("2026-11-25 00:00:00")
    await charge(clock.quota, name, recipients=2)
    await clock.quota.give_back(old.charge)
    used = await clock.quota.read_used(name)
    assert (used.hour, used.day, used.recipients) == (1, 1, 2)
    await clock.go("2026-11-24 23:59:59")
    assert (await clock.quota.read_used(name)).day == 0


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
        used = await clock.quota.read_used(name)
        here, before, opens = (
            datetime.fromtimestamp(t, clock.zone) for t in (at, used.hour_opens - 1, used.hour_opens)
        )
        assert (before.hour, before.utcoffset()) == (here.hour, here.utcoffset())
        assert (opens.hour, opens.utcoffset()) != (here.hour, here.utcoffset())
        assert datetime.fromtimestamp(used.day_opens - 1, clock.zone).date() == here.date()
        assert datetime.fromtimestamp(used.day_opens, clock.zone).date() > here.date()


class Turning(tzinfo):
    """A zone whose clock hour turns at a time of the test's choice."""

    def __init__(self, turns_at: int) -> None:
        self._offset = timedelta(seconds=-(turns_at % 3600))

    def utcoffset(self, _: datetime | None) -> timedelta:
        """Give the same offset always."""
        return self._offset

    def dst(self, _: datetime | None) -> None:
        """Know of no daylight saving."""

    def tzname(self, _: datetime | None) -> str:
        """Name it."""
        return "turning"

    def fromutc(self, at: datetime) -> datetime:
        """Go to local time."""
        return at + self._offset


async def test_windows_turn_by_the_clock_of_the_server(redis: Redis, name: str) -> None:
    """A gateway an hour off changes nothing: `now` only chooses the table."""
    await cache_user(redis, name, per_hour=1, per_day=1000)
    server_s, _ = (int(part) for part in await redis.call("TIME"))
    quota = Quota(redis, Turning(server_s + 2), now=lambda: server_s - 3600.0)
    await charge(quota, name)
    answer = await exhaust(quota, name)
    assert 1 <= answer.window.opens_in_s <= 2
    await eventually(lambda: has_passed(quota, name))
    assert int((await redis.call("TIME"))[0]) >= server_s + 2


async def test_counts_expire_by_themselves_and_old_windows_go(redis: Redis, name: str) -> None:
    """A user who sends every hour for a week keeps a handful of fields."""
    await cache_user(redis, name, per_hour=10, per_day=1000)
    clock = Clockwork(redis, "Asia/Shanghai")
    for hour in range(7 * 24):
        await clock.set(datetime.fromtimestamp(1_764_000_000 + hour * 3600, UTC))
        last = (await charge(clock.quota, name)).charge
    assert await redis.call("HLEN", last.key) <= 30
    assert 0 < await redis.call("TTL", last.key) <= 2 * 86_400 + 3600


async def test_names_with_braces_and_colons_have_their_own_counts(redis: Redis) -> None:
    """A name may hold nearly anything."""
    quota = Quota(redis, UTC)
    for name in ("a{b}c", "{b}", "a}b{", "name with space"):
        await cache_user(redis, name)
        await redis.call("DEL", (await charge(quota, name)).charge.key)
        assert (await charge(quota, name)).windows[0].used == 1


async def test_a_zone_without_changes_has_a_table_of_one_line() -> None:
    """Nothing is sent along that is not needed."""
    now = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    assert offsets(SHANGHAI, now)[1:] == (28_800,)
    berlin = offsets(ZoneInfo("Europe/Berlin"), now)
    assert berlin[1:] == (7200, int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()), 3600)


async def test_a_tally_adds_up_and_forgets_by_itself(redis: Redis, name: str) -> None:
    """Its time begins with the first count and is not prolonged by later ones."""
    tallies = Tallies(redis)
    assert (await tallies.read(name)).count == 0
    first = await tallies.add(name, 60, 1)
    second = await tallies.add(name, 41, 1)
    assert (first.count, second.count) == (60, 101)
    assert 0 < second.ends_in_s <= first.ends_in_s <= 1
    assert (await tallies.read(name)).count == 101
    await eventually(lambda: is_forgotten(tallies, name))


async def test_a_tally_is_forgotten_on_request(redis: Redis, name: str) -> None:
    """A right password ends the counting."""
    tallies = Tallies(redis)
    await tallies.add(name, 3, 60)
    await tallies.forget(name)
    assert (await tallies.add(name, 1, 60)).count == 1


async def crowd(clockwork: Clockwork, name: str, count: int, kind: Kind = "single") -> int:
    """Charge so many of a kind in this second, and count those that were too many."""
    answers = [await clockwork.quota.charge(name, "nonce", 1, 1, kind=kind) for _ in range(count)]
    return sum(answer.is_crowded for answer in answers if isinstance(answer, Charged))


async def test_who_sends_more_than_200_within_ten_seconds_is_a_crowd_until_there_are_fewer(
    redis: Redis, name: str
) -> None:
    """What goes on while it is one counts too; codes, and requests of no kind, are counted apart or not at all."""
    clockwork, began = Clockwork(redis, "Asia/Shanghai"), datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
    await cache_user(redis, name, per_hour=10_000, per_day=10_000)
    await clockwork.set(began)
    assert await crowd(clockwork, name, 150) == 0
    await clockwork.set(began + timedelta(seconds=5))
    assert await crowd(clockwork, name, 60) == 10
    assert await crowd(clockwork, name, 5, kind="code") == 0
    assert not (await charge(clockwork.quota, name, 500)).is_crowded
    await clockwork.set(began + timedelta(seconds=9))
    assert await crowd(clockwork, name, 1) == 1
    await clockwork.set(began + timedelta(seconds=10))
    assert await crowd(clockwork, name, 139) == 0, "the 150 of the first second are past"
    assert await crowd(clockwork, name, 1) == 1
    await clockwork.set(began + timedelta(seconds=40))
    assert await crowd(clockwork, name, 201) == 1
    await clockwork.set(began + timedelta(seconds=39))
    assert await crowd(clockwork, name, 1) == 1, "a clock that goes back forgets nothing"


async def test_codes_that_were_too_many_are_not_counted_among_them(redis: Redis, name: str) -> None:
    """So who sends more codes than he may has his 200 in every ten seconds all the same."""
    clockwork, began = Clockwork(redis, "Asia/Shanghai"), datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
    await cache_user(redis, name, per_hour=10_000, per_day=10_000, may_send_codes=1)
    await clockwork.set(began)
    assert await crowd(clockwork, name, 300, kind="code") == 100
    await clockwork.set(began + timedelta(seconds=9))
    assert await crowd(clockwork, name, 10, kind="code") == 10
    await clockwork.set(began + timedelta(seconds=10))
    assert await crowd(clockwork, name, 201, kind="code") == 1


async def test_a_code_of_who_may_send_none_is_not_counted(redis: Redis, name: str) -> None:
    """A cached user without it is of an auth of before: whoever existed then may."""
    await cache_user(redis, name, per_hour=2, may_send_codes=0)
    quota = Quota(redis, SHANGHAI)
    assert await quota.charge(name, "nonce", 1, 1, kind="code") == NoCodes("user")
    await redis.call("HDEL", user_key(name), "may_send_codes")
    answer = await quota.charge(name, "nonce", 1, 1, kind="code")
    assert isinstance(answer, Charged)
    assert answer.windows[0].used == 1


class Watch:
    """A gateway's own clock, turned by hand."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def read(self) -> float:
        """Say the time."""
        return self.at_s


async def count_times(redis: Redis) -> int:
    """Count how often the time was asked for since the counts were reset."""
    told = await redis.call("INFO", "commandstats")
    text = told.decode() if isinstance(told, bytes) else str(told)
    found = [line for line in text.splitlines() if line.startswith("cmdstat_time:")]
    return int(found[0].partition("calls=")[2].partition(",")[0]) if found else 0


async def test_windows_and_time_that_were_told_a_moment_ago_are_not_found_again(redis: Redis, name: str) -> None:
    """And what is told is the same: for five seconds, and not within a second of a window's end."""
    await cache_user(redis, name, per_hour=10_000, per_day=10_000, recipients_per_day=5_000)
    watch, server_s = Watch(), int((await redis.call("TIME"))[0])
    quota = Quota(redis, Turning(server_s + 3600), elapsed=watch.read)
    fresh = Quota(redis, Turning(server_s + 3600), elapsed=None)
    before = await count_times(redis)
    told = [await quota.charge(name, "nonce", 1, 1, kind="single") for _ in range(5)]
    assert await count_times(redis) == before + 1
    again = await fresh.charge(name, "nonce", 1, 1, kind="single")
    assert await count_times(redis) == before + 2
    for number, answer in enumerate((*told, again), 1):
        assert isinstance(answer, Charged)
        assert isinstance(again, Charged)
        assert answer.charge == again.charge
        assert [window.used for window in answer.windows] == [number] * 3
        assert [window.opens_at for window in answer.windows] == [window.opens_at for window in again.windows]
        assert all(0 <= a.opens_in_s - b.opens_in_s <= 1 for a, b in zip(answer.windows, again.windows, strict=True))
    watch.at_s += 5
    await charge(quota, name)
    assert await count_times(redis) == before + 3

    soon = Quota(redis, Turning(server_s + 4), elapsed=watch.read)
    await charge(soon, name)
    watch.at_s += 3.5
    await charge(soon, name)
    assert await count_times(redis) == before + 5, "a window may turn at any moment"


async def test_a_crowd_is_counted_through_gateways_of_both_versions(redis: Redis, name: str) -> None:
    """One of before writes no sum; who is a second behind counts with who is not."""
    clockwork, began = Clockwork(redis, "Asia/Shanghai"), datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
    await cache_user(redis, name, per_hour=10_000, per_day=10_000)
    await clockwork.set(began)
    first = await charge(clockwork.quota, name)
    second = int(began.timestamp())
    await redis.call("HSET", first.charge.key, "s", f"{second} 100 50 0 0 0 0 0 0 0 0")
    assert await crowd(clockwork, name, 50) == 0
    assert await crowd(clockwork, name, 1) == 1
    assert await redis.call("HGET", first.charge.key, "s") == f"{second} 151 50 0 0 0 0 0 0 0 0 t201".encode()
    for turn in range(10):
        await clockwork.set(began + timedelta(seconds=1 - turn % 2))
        assert await crowd(clockwork, name, 1) == 1
    assert await redis.call("HGET", first.charge.key, "s") == f"{second + 1} 10 151 50 0 0 0 0 0 0 0 t211".encode()
