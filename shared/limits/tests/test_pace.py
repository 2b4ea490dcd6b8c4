"""The token bucket: no window sees more than the limit, waits are bounded, and each scope has its own."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_limits.pace import Pace, Rate


class Clock:
    """Time that passes only by sleeping or by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += seconds


def pace(rate: Rate) -> tuple[Pace, Clock]:
    """Make a bucket and its clock."""
    clock = Clock()
    return Pace(rate, clock, clock.sleep), clock


async def test_twenty_a_minute_are_spread_evenly() -> None:
    bucket, clock = pace(Rate(20, 60))
    times = []
    for _ in range(21):
        assert await bucket.acquire("robot", within_s=60) == 0.0
        times.append(clock.now - 1_000)
    assert times == pytest.approx([3.0 * number for number in range(21)])


async def test_a_burst_comes_at_once_and_is_paid_for_after() -> None:
    bucket, clock = pace(Rate(20, 60, burst=10))
    for _ in range(10):
        assert await bucket.acquire(within_s=0) == 0.0
    assert clock.now == 1_000
    assert await bucket.acquire(within_s=0) == pytest.approx(60 / 11)


async def test_what_is_free_too_late_is_not_waited_for_and_takes_nothing() -> None:
    bucket, clock = pace(Rate(1, 60))
    assert await bucket.acquire("+8613800138000", within_s=5) == 0.0
    for _ in range(3):
        assert await bucket.acquire("+8613800138000", within_s=5) == 60
    assert clock.now == 1_000
    clock.now += 57
    assert await bucket.acquire("+8613800138000", within_s=5) == 0.0
    assert clock.now == 1_060


async def test_each_scope_has_its_own_bucket() -> None:
    bucket, _ = pace(Rate(1, 60))
    assert await bucket.acquire("a", within_s=0) == 0.0
    assert await bucket.acquire("b", within_s=0) == 0.0
    assert bucket.wait_s("a") == 60
    assert bucket.wait_s("c") == 0.0


async def test_those_who_wait_are_served_in_the_order_of_asking() -> None:
    waits_s, order, begins = list[float](), list[int](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits_s.append(seconds)
        await begins.wait()

    bucket = Pace(Rate(50), Clock(), sleep)

    async def take(number: int) -> None:
        await bucket.acquire(within_s=5)
        order.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert order == [0]
    assert waits_s == pytest.approx([0.02, 0.04, 0.06, 0.08])
    begins.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_an_abandoned_wait_never_exceeds_the_limit() -> None:
    bucket = Pace(Rate(1, 60), Clock())
    await bucket.acquire(within_s=0)
    waiting = asyncio.create_task(bucket.acquire(within_s=60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert bucket.wait_s() == 120


async def test_full_buckets_are_forgotten() -> None:
    bucket, clock = pace(Rate(1, 60))
    for number in range(10_000):
        await bucket.acquire(str(number), within_s=0)
        clock.now += 1
    assert len(bucket._full_at) <= 1_024


@pytest.mark.parametrize("wrong", [(0, 1.0, 1), (5, 1.0, 6), (5, 1.0, 0), (5, 0.0, 1)])
def test_a_rate_that_makes_no_sense_is_refused(wrong: tuple[int, float, int]) -> None:
    with pytest.raises(ValueError, match="a rate needs"):
        Rate(*wrong)


@given(st.integers(1, 30), st.integers(1, 30), st.lists(st.floats(0, 20), min_size=1, max_size=80))
def test_no_window_ever_sees_more_than_the_limit(calls: int, burst: int, pauses: Sequence[float]) -> None:
    """However calls come, those within less than a window are at most `calls`, and `burst` of them at once."""
    rate = Rate(calls, 10, min(burst, calls))
    bucket, clock = pace(rate)

    async def run() -> list[float]:
        times = []
        for pause in pauses:
            clock.now += pause
            await bucket.acquire(within_s=1_000)
            times.append(clock.now)
        return times

    times = asyncio.run(run())
    rounding_s = 1e-6
    for first in times:
        assert sum(first <= at < first + 10 - rounding_s for at in times) <= calls
        assert sum(first <= at < first + rate.refill_s - rounding_s for at in times) <= rate.burst
