"""Who sends too much within ten seconds is a crowd; codes are counted apart."""

from datetime import UTC, datetime, timedelta

from imsg_contract.topology import counts_key, user_key
from imsg_limits.quota import Charged, CodesForbidden, Cost, Kind, Quota
from imsg_runtime.redis import Redis
from imsg_testing.quota import ID, QUIET, Clockwork, cache_user, charge


async def crowd(clockwork: Clockwork, name: str, count: int, kind: Kind = "single") -> int:
    """Charge so many of a kind in this second, and count those that were too many."""
    answers = [await clockwork.quota.charge(name, "nonce", 1, ID, Cost(1, kind=kind)) for _ in range(count)]
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
    await cache_user(redis, name, per_hour=2, may_send_codes=0)
    quota = Quota(redis, QUIET)
    assert await quota.charge(name, "nonce", 1, ID, Cost(1, kind="code")) == CodesForbidden()
    await redis.call("HSET", user_key(name), "may_send_codes", 1)
    answer = await quota.charge(name, "nonce", 1, ID, Cost(1, kind="code"))
    assert isinstance(answer, Charged)
    assert answer.windows[0].used == 1


async def test_a_crowd_is_counted_through_gateways_whose_clocks_differ(redis: Redis, name: str) -> None:
    """A gateway that is a second behind counts in the same second."""
    clockwork, began = Clockwork(redis, "Asia/Shanghai"), datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
    await cache_user(redis, name, per_hour=10_000, per_day=10_000)
    await clockwork.set(began)
    first = await charge(clockwork.quota, name)
    second = int(began.timestamp())
    await redis.call("HSET", counts_key(first.charge.username), "s", f"{second} 150 50 0 0 0 0 0 0 0 0 t200")
    for turn in range(10):
        await clockwork.set(began + timedelta(seconds=1 - turn % 2))
        assert await crowd(clockwork, name, 1) == 1
    assert (
        await redis.call("HGET", counts_key(first.charge.username), "s")
        == f"{second + 1} 10 150 50 0 0 0 0 0 0 0 t210".encode()
    )
