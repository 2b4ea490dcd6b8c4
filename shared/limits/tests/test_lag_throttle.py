"""Others hold back while codes are about and the loop is late, and at no other time."""

import asyncio
import time

from imsg_limits.lag_throttle import FIRST_PAUSE_S, MAX_LAG_S, MAX_PAUSE_S, LagThrottle
from imsg_testing.waiting import eventually


def test_who_is_late_pauses_longer_up_to_a_bound_and_who_is_not_less() -> None:
    lag_throttle = LagThrottle(time.monotonic, 4)
    lag_throttle.adjust(MAX_LAG_S / 2)
    assert lag_throttle.pause_s == 0
    lag_throttle.adjust(2 * MAX_LAG_S)
    assert lag_throttle.pause_s == FIRST_PAUSE_S
    for _ in range(20):
        lag_throttle.adjust(2 * MAX_LAG_S)
    assert lag_throttle.pause_s == MAX_PAUSE_S
    for _ in range(70):  # 1.4 s of looks
        lag_throttle.adjust(0)
    assert 0.4 * MAX_PAUSE_S < lag_throttle.pause_s < 0.6 * MAX_PAUSE_S
    for _ in range(400):
        lag_throttle.adjust(0)
    assert lag_throttle.pause_s == 0


async def test_without_codes_nothing_is_looked_at_and_after_them_nothing_pauses() -> None:
    """The loop is blocked, and so late; the clock is the test's."""
    now = 100.0
    lag_throttle = LagThrottle(lambda: now, 4)

    async def has_paused() -> bool:
        nonlocal now
        now += 0.05
        return lag_throttle.pause_s > 0

    async def has_ended() -> bool:
        return lag_throttle.pause_s == 0

    watching = asyncio.create_task(lag_throttle.watch())
    for _ in range(5):
        await asyncio.sleep(0.025)
        assert not await has_paused()
    lag_throttle.record_code()
    await eventually(has_paused)
    now += 10
    await eventually(has_ended)
    watching.cancel()


async def test_paused_calls_resume_one_by_one_within_the_longest_pause() -> None:
    async def is_so() -> bool:
        """Not where the machine stands still for a turn."""
        lag_throttle = LagThrottle(time.monotonic, 4)
        lag_throttle.pause_s = 0.2
        begun = time.monotonic()
        passed: list[float] = []

        async def go() -> None:
            await lag_throttle.throttle()
            passed.append(time.monotonic() - begun)

        await asyncio.gather(*(go() for _ in range(6)))

        for turn, at in enumerate(passed[:4], start=1):
            assert at >= turn * 0.05 - 0.005, passed
        return max(passed) - passed[3] < 0.05 < passed[3] - passed[0]  # a fifth and a sixth wait for no turns of theirs

    await eventually(is_so)
