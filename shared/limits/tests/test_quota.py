"""Limits hold to the request whatever the race; what was refused or is given back counts for nothing."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from imsg_contract.api_keys import key_field
from imsg_contract.ids import new_id
from imsg_contract.topology import QUOTAS_OF_ALL, counts_key, refunded_key, user_key
from imsg_contract.wire import ChargeRecord
from imsg_limits.quota import (
    MAX_BURST,
    CachedUser,
    Charged,
    Cost,
    Counters,
    Exhausted,
    Kind,
    Quota,
    QuotaRow,
    SendingDisabled,
    StaleToken,
    TokenRevoked,
    Unit,
    UserNotCached,
)
from imsg_runtime.redis import Redis, connect
from imsg_testing.quota import EPOCH, ID, QUIET, Clockwork, cache_quotas_of_all, cache_user, charge, exhaust
from imsg_testing.waiting import eventually


async def is_forgotten(counters: Counters, key: str) -> bool:
    """Return whether nothing is counted."""
    return (await counters.read(key)).count == 0


async def test_exactly_five_of_200_simultaneous_requests_pass_through_two_gateways(
    redis: Redis, valkey_url: str, name: str
) -> None:
    """Checking and counting is one step."""
    await cache_user(redis, name)
    async with connect(valkey_url) as other:
        gateways = [Quota(redis, QUIET), Quota(other, QUIET)]
        answers = await asyncio.gather(*(gateways[n % 2].charge(name, "nonce", 1, ID, Cost(1)) for n in range(200)))
    assert sum(isinstance(answer, Charged) for answer in answers) == 5
    assert sum(isinstance(answer, Exhausted) for answer in answers) == 195


async def test_a_charge_returns_what_is_left(redis: Redis, name: str) -> None:
    """For the RateLimit headers."""
    await cache_user(redis, name, recipients_per_day=100)
    hour, day, people = (await charge(Quota(redis, QUIET), name, recipients=7)).windows
    assert (hour.row.id, hour.limit, hour.used, hour.left) == ("per_hour", 5, 1, 4)
    assert (day.row.id, day.limit, day.used, day.left) == ("per_day", 20, 1, 19)
    assert (people.row.id, people.limit, people.used, people.left) == ("recipients_per_day", 100, 7, 93)
    assert 0 < hour.opens_in_s <= 3600
    assert 0 < day.opens_in_s <= 86_400
    assert datetime.fromtimestamp(day.opens_at, QUIET).strftime("%H:%M:%S") == "00:00:00"
    assert datetime.fromtimestamp(hour.opens_at, QUIET).strftime("%M:%S") == "00:00"


async def charge_owned(quota: Quota, name: str, user_id: str) -> Charged:
    """Charge a user of an id, which must pass."""
    answer = await quota.charge(name, "nonce", 1, user_id, Cost(1))
    assert isinstance(answer, Charged)
    return answer


async def test_a_user_registered_anew_under_a_name_starts_from_nothing(redis: Redis, name: str) -> None:
    """And what its predecessor is given back late is not its own."""
    quota = Quota(redis, QUIET)
    await cache_user(redis, name, id="first")
    charge = (await charge_owned(quota, name, "first")).charge
    await cache_user(redis, name, id="second")
    assert (await quota.read_used(name, "second")).hour == 0
    assert (await charge_owned(quota, name, "second")).windows[0].used == 1
    await quota.refund(charge)
    assert (await quota.read_used(name, "second")).hour == 1


async def test_a_token_of_another_user_of_the_name_is_verified_anew(redis: Redis, name: str) -> None:
    await cache_user(redis, name, id="first")
    assert await Quota(redis, QUIET).charge(name, "nonce", 1, "another", Cost(1)) == StaleToken(1, "first")


async def test_a_limit_of_nought_lets_nothing_through(redis: Redis, name: str) -> None:
    """0 is a number, not `no limit`."""
    await cache_user(redis, name, per_hour=0)
    assert (await exhaust(Quota(redis, QUIET), name)).window.row.id == "per_hour"


async def test_the_day_ends_what_the_hour_would_allow(redis: Redis, name: str) -> None:
    """And the refusal names the window that opens last."""
    await cache_user(redis, name, per_hour=2, per_day=2)
    quota = Quota(redis, QUIET)
    await charge(quota, name)
    await charge(quota, name)
    answer = await exhaust(quota, name)
    assert answer.window.row.id == "per_day"
    assert answer.window.left == 0


async def test_recipients_are_counted_by_head(redis: Redis, name: str) -> None:
    """One request of many counts once, and its people each."""
    await cache_user(redis, name, recipients_per_day=10)
    quota = Quota(redis, QUIET)
    await charge(quota, name, recipients=8)
    answer = await exhaust(quota, name, recipients=3)
    assert (answer.window.row.id, answer.window.left) == ("recipients_per_day", 2)
    await charge(quota, name, recipients=2)


async def test_recipients_count_also_while_they_are_not_limited(redis: Redis, name: str) -> None:
    """So that a limit set at noon holds for the whole day."""
    await cache_user(redis, name)
    quota = Quota(redis, QUIET)
    await charge(quota, name, recipients=8)
    await cache_user(redis, name, recipients_per_day=9)
    assert (await exhaust(quota, name, recipients=2)).window.used == 8


async def test_a_refused_request_counts_for_nothing(redis: Redis, name: str) -> None:
    """Whatever it was refused for."""
    await cache_user(redis, name, per_hour=1, recipients_per_day=5)
    quota = Quota(redis, QUIET)
    await exhaust(quota, name, recipients=6)
    await quota.charge(name, "nonce", 99, ID, Cost(1))
    await quota.charge("nobody", "nonce", 1, ID, Cost(1))
    used = await quota.read_used(name, ID)
    assert (used.hour, used.day, used.recipients) == (0, 0, 0)
    await charge(quota, name)


async def test_a_change_of_the_cached_user_holds_for_the_very_next_request(redis: Redis, name: str) -> None:
    """The script reads it in the same step."""
    quota = Quota(redis, QUIET)
    await cache_user(redis, name, per_hour=1)
    await charge(quota, name)
    await exhaust(quota, name)
    await cache_user(redis, name, per_hour=2)
    await charge(quota, name)
    await cache_user(redis, name, per_hour=1)
    assert (await exhaust(quota, name)).window.left == 0


async def test_the_token_is_checked_in_the_same_step(redis: Redis, name: str) -> None:
    """Missing, of another epoch, logged out, not allowed to send: each said as itself, none of them counted."""
    quota = Quota(redis, QUIET)
    assert await quota.charge(name, "nonce", 1, ID, Cost(1)) == UserNotCached()
    await cache_user(redis, name, revoked="gone", epoch=8, role="admin")
    assert await quota.charge(name, "nonce", 1, ID, Cost(1)) == StaleToken(8, ID)
    assert await quota.charge(name, "gone", 8, ID, Cost(1)) == TokenRevoked()
    assert isinstance(await quota.charge(name, "nonce", 8, ID, Cost(1)), Charged)
    await cache_user(redis, name, role="admin", available=0)
    assert await quota.charge(name, "nonce", 1, ID, Cost(1)) == SendingDisabled()
    assert (await quota.read_used(name, ID)).hour == 1


async def test_a_key_is_checked_in_the_same_step(redis: Redis, name: str) -> None:
    """Ended, changed since it was read, of a removed user: each said as itself, none of them counted."""
    quota = Quota(redis, QUIET)
    await cache_user(redis, name, epoch=8)
    await redis.call("HSET", user_key(name), key_field("abc"), "the key")
    assert await quota.charge(name, "ended", 0, ID, Cost(1), key=b"the key") == TokenRevoked()
    assert await quota.charge(name, "abc", 0, ID, Cost(1), key=b"as it was") == StaleToken(8, ID)
    assert await quota.charge(name, "abc", 0, "another", Cost(1), key=b"the key") == StaleToken(8, ID)
    assert isinstance(await quota.charge(name, "abc", 0, ID, Cost(1), key=b"the key"), Charged)
    found = await quota.read_cached_user(name, "abc", is_key=True)
    assert isinstance(found, CachedUser)
    assert found.key == b"the key"
    assert await quota.read_cached_user(name, "ended", is_key=True) == TokenRevoked()
    assert (await quota.read_used(name, ID)).hour == 1


async def test_reading_the_cached_user_checks_the_token_and_counts_nothing(redis: Redis, name: str) -> None:
    """For requests that were refused for something else, and for every other URL."""
    quota = Quota(redis, QUIET)
    assert await quota.read_cached_user(name, "nonce") == UserNotCached()
    await cache_user(redis, name, revoked="gone", epoch=2**53 - 1, role="admin", available=0)
    assert await quota.read_cached_user(name, "nonce") == CachedUser(2**53 - 1, "admin", user_id=ID, since=EPOCH)
    assert await quota.read_cached_user(name, "gone") == TokenRevoked()
    assert (await quota.read_used(name, ID)).hour == 0


async def test_what_is_given_back_may_be_used_again(redis: Redis, name: str) -> None:
    """Requests that were not accepted count for nothing."""
    await cache_user(redis, name, per_hour=1, recipients_per_day=3)
    quota = Quota(redis, QUIET)
    answer = await charge(quota, name, recipients=3)
    await exhaust(quota, name)
    await quota.refund(answer.charge)
    used = await quota.read_used(name, ID)
    assert (used.hour, used.day, used.recipients) == (0, 0, 0)
    await charge(quota, name, recipients=3)


async def test_nothing_is_given_back_below_nought(redis: Redis, name: str) -> None:
    """Redis may have lost the counts in between."""
    await cache_user(redis, name)
    quota = Quota(redis, QUIET)
    answer = await charge(quota, name, recipients=3)
    await redis.call("DEL", counts_key(name))
    await quota.refund(answer.charge)
    used = await quota.read_used(name, ID)
    assert (used.hour, used.day, used.recipients) == (0, 0, 0)
    await charge(quota, name)
    await quota.refund(answer.charge)
    await quota.refund(answer.charge)
    assert (await quota.read_used(name, ID)).hour == 0


async def test_what_was_not_sent_is_refunded_once(redis: Redis, valkey_url: str, name: str) -> None:
    """Two processes give the same parts back at once, after the record went through a Job; the rest stays counted."""
    await cache_user(redis, name, per_hour=1, recipients_per_day=10, rows=(SMS_SEGMENTS,))
    await cache_quotas_of_all(redis, QuotaRow("all", "recipients", "day", 1_000, "sms"))
    try:
        quota = Quota(redis, QUIET)
        answer = await quota.charge(name, "nonce", 1, ID, Cost(3, segments=6, method="sms"))
        assert isinstance(answer, Charged)
        record = ChargeRecord.model_validate_json(answer.charge.encode())
        request = new_id()
        async with connect(valkey_url) as other:
            both = (quota, Quota(other, QUIET))
            unsent: dict[Unit, int] = {"recipients": 1, "segments": 2}
            parts = [f"{n % 2}" for n in range(20)]
            given = [both[at % 2].refund_part(record, request, part, unsent) for at, part in enumerate(parts)]
            assert sum(await asyncio.gather(*given)) == 2
        usage = await quota.read_used(name, ID, (SMS_SEGMENTS,), (QuotaRow("all", "recipients", "day", 1_000, "sms"),))
        assert [window.used for window in usage.windows] == [2, 1]
        assert (usage.hour, usage.recipients) == (1, 1)
        assert await quota.refund_part(record, request, "request", {"requests": 1})
        assert not await quota.refund_part(record, request, "request", {"requests": 1})
        assert (await quota.read_used(name, ID)).hour == 0
        assert await redis.call("TTL", refunded_key(request)) > 31 * 86_400
    finally:
        await cache_quotas_of_all(redis)


async def test_names_with_braces_and_colons_have_their_own_counts(redis: Redis) -> None:
    """A name may hold nearly anything."""
    quota = Quota(redis, UTC)
    for name in ("a{b}c", "{b}", "a}b{", "name with space"):
        await cache_user(redis, name)
        await charge(quota, name)
        await redis.call("DEL", counts_key(name))
        assert (await charge(quota, name)).windows[0].used == 1


SMS_SEGMENTS = QuotaRow("sms_segments_per_month", "segments", "month", 10, "sms")
SMS_A_MINUTE = QuotaRow("ours", "requests", "minute", 2, "sms")


async def test_rows_of_a_method_count_what_that_method_sends(redis: Redis, name: str) -> None:
    """Segments of all recipients; what goes another way is not charged, and not refused by them."""
    await cache_user(redis, name, rows=(SMS_SEGMENTS, SMS_A_MINUTE))
    clockwork = Clockwork(redis, "Asia/Shanghai")
    await clockwork.go("2026-11-25 10:00:10")
    quota = clockwork.quota

    async def send(method: str, segments: int) -> object:
        return await quota.charge(name, "nonce", 1, ID, Cost(1, segments=segments, method=method))

    assert isinstance(await send("sms", 8), Charged)
    refused = await send("sms", 3)
    assert isinstance(refused, Exhausted)
    assert (refused.window.row.id, refused.window.left, refused.window.row) == (
        "sms_segments_per_month",
        2,
        SMS_SEGMENTS,
    )
    passed = await send("smtp", 0)
    assert isinstance(passed, Charged)
    assert {window.row.id: window.used for window in passed.windows} == {
        "per_hour": 2, "per_day": 2, "sms_segments_per_month": 8, "ours": 1,
    }  # fmt: skip
    assert isinstance(await send("sms", 2), Charged)
    refused = await send("sms", 0)
    assert isinstance(refused, Exhausted)
    assert (refused.window.row.id, refused.window.left) == ("ours", 0)
    assert refused.window.opens_in_s == 50


async def test_a_quota_of_the_installation_holds_all_users_together(redis: Redis, valkey_url: str, name: str) -> None:
    """Exactly, through two gateways; a refused request is not charged, and a refund may be used again."""
    both, row = (name, f"{name}-2"), QuotaRow("all-mail", "recipients", "day", 7, "smtp")
    for username in both:
        await cache_user(redis, username, per_hour=100, per_day=100)
    used = (await Quota(redis, QUIET).read_used(name, ID, (), (row,))).windows[0].used
    await cache_quotas_of_all(redis, row._replace(limit=used + 7))
    try:
        async with connect(valkey_url) as other:
            gateways = [Quota(redis, QUIET), Quota(other, QUIET)]
            answers = await asyncio.gather(
                *(gateways[n % 2].charge(both[n // 2 % 2], "nonce", 1, ID, Cost(1, method="smtp")) for n in range(60))
            )
        charged = [answer for answer in answers if isinstance(answer, Charged)]
        refused = [answer for answer in answers if isinstance(answer, Exhausted)]
        assert (len(charged), len(refused)) == (7, 53)
        assert {(answer.window.row.id, answer.window.scope) for answer in refused} == {("all-mail", "all")}
        assert sum([(await gateways[0].read_used(username, ID)).hour for username in both]) == 7
        assert isinstance(await gateways[0].charge(name, "nonce", 1, ID, Cost(1, method="sms")), Charged)
        await gateways[0].refund(charged[0].charge)
        assert isinstance(await gateways[0].charge(name, "nonce", 1, ID, Cost(1, method="smtp")), Charged)
        assert isinstance(await gateways[0].charge(name, "nonce", 1, ID, Cost(1, method="smtp")), Exhausted)
    finally:
        await cache_quotas_of_all(redis)


async def test_a_charge_waits_for_auth_where_redis_lost_the_quotas_of_the_installation(redis: Redis, name: str) -> None:
    """A flushed Redis never reads as `no limit`."""
    await cache_user(redis, name)
    await redis.call("DEL", QUOTAS_OF_ALL)
    assert await Quota(redis, QUIET).charge(name, "nonce", 1, ID, Cost(1)) == UserNotCached()
    await cache_quotas_of_all(redis)


async def test_a_tally_adds_up_and_forgets_by_itself(redis: Redis, name: str) -> None:
    """Its time begins with the first count and is not prolonged by later ones."""
    counters = Counters(redis)
    assert (await counters.read(name)).count == 0
    first = await counters.add(name, 60, 60)
    second = await counters.add(name, 41, 3_600)
    assert (first.count, second.count) == (60, 101)
    assert 0 < second.ends_in_s <= first.ends_in_s <= 60
    assert (await counters.read(name)).count == 101
    await counters.add(f"{name}-2", 60, 1)
    await eventually(lambda: is_forgotten(counters, f"{name}-2"))


async def test_a_tally_is_forgotten_on_request(redis: Redis, name: str) -> None:
    """A right password ends the counting."""
    counters = Counters(redis)
    await counters.add(name, 3, 60)
    await counters.forget(name)
    assert (await counters.add(name, 1, 60)).count == 1


@pytest.mark.parametrize("kind", ["single", "code"])
async def test_what_a_user_sends_past_200_of_a_kind_within_ten_seconds_is_crowded(
    redis: Redis, name: str, kind: Kind
) -> None:
    await cache_user(redis, name, per_hour=10_000, per_day=10_000)
    clock = f"clock of {name}"
    quota = Quota(redis, QUIET, clock=f"tonumber(redis.call('GET', '{clock}'))", elapsed=None)
    start = int(time.time())

    async def count_crowded(second: int, requests: int) -> int:
        await redis.call("SET", clock, start + second)
        charged = [await quota.charge(name, "nonce", 1, ID, Cost(1, kind)) for _ in range(requests)]
        return sum(isinstance(charge, Charged) and charge.is_crowded for charge in charged)

    assert await count_crowded(0, MAX_BURST - 50) == 0
    assert await count_crowded(9, 53) == 3
    assert await count_crowded(10, 1) == 0, "the first second is ten seconds ago"
