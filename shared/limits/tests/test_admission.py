"""A flood waits behind itself, not before others."""

import asyncio
import time

import pytest

from imsg_contract.errors import Refusal
from imsg_limits.admission import MAX_ADMITTED, MAX_PER_USER, UNTHROTTLED, Admission
from imsg_limits.lag_throttle import MAX_LAG_S, MAX_PAUSE_S, LagThrottle

PATIENT_S = 60.0


def in_time() -> LagThrottle:
    """Return a throttle without lag."""
    return LagThrottle(time.monotonic, 4)


class Gate(LagThrottle):
    """A throttle whose pauses end when the test opens it."""

    def __init__(self) -> None:
        super().__init__(time.monotonic, 4)
        self.paused = 0
        self.opened = asyncio.Event()

    async def throttle(self) -> None:
        """Wait until it is opened."""
        self.paused += 1
        await self.opened.wait()


class Requests:
    """Requests that stay inside until they are released."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.count: list[str] = []
        self.go_on = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def come(self, username: str, count: int = 1) -> None:
        """Start `count` requests of a user."""
        for _ in range(count):
            self._tasks.add(asyncio.create_task(self._stay(username)))
        for _ in range(5):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """End all requests."""
        self.go_on.set()
        await asyncio.gather(*self._tasks)

    async def _stay(self, username: str) -> None:
        async with self.admission.admit(username):
            self.count.append(username)
            await self.go_on.wait()


async def test_one_user_leaves_room_to_others() -> None:
    requests = Requests(Admission(in_time(), PATIENT_S))
    await requests.come("flood", 10 * MAX_ADMITTED)
    assert requests.count == ["flood"] * MAX_PER_USER
    await requests.come("li")
    assert requests.count[-1] == "li"
    await requests.leave()
    assert len(requests.count) == 10 * MAX_ADMITTED + 1


async def test_all_of_them_are_bounded_too() -> None:
    requests = Requests(Admission(in_time(), PATIENT_S))
    for number in range(MAX_ADMITTED + 5):
        await requests.come(f"user {number}")
    assert len(requests.count) == MAX_ADMITTED
    await requests.leave()
    assert len(requests.count) == MAX_ADMITTED + 5


async def test_a_request_that_waits_in_vain_is_refused_and_holds_no_place() -> None:
    admission = Admission(in_time(), patience_s=0.05)
    requests = Requests(admission)
    await requests.come("flood", MAX_PER_USER)
    with pytest.raises(Refusal) as refused:
        async with admission.admit("flood"):
            pass
    assert refused.value.reason == "overloaded"
    await requests.leave()
    assert admission.is_empty()
    again = Requests(admission)
    await again.come("flood", MAX_PER_USER)
    assert len(again.count) == MAX_PER_USER
    await again.leave()


async def test_a_flood_alone_pauses_while_codes_are_sent_and_the_loop_is_late() -> None:
    """Its requests pause side by side, not in turn."""
    gate = Gate()
    while gate.pause_s < MAX_PAUSE_S:
        gate.adjust(2 * MAX_LAG_S)
    requests = Requests(Admission(gate, PATIENT_S))
    await requests.come("flood", 4 * UNTHROTTLED)
    await requests.come("li", UNTHROTTLED)
    assert requests.count == ["flood"] * UNTHROTTLED + ["li"] * UNTHROTTLED
    assert gate.paused == 3 * UNTHROTTLED
    gate.opened.set()
    await requests.leave()
    assert requests.count[2 * UNTHROTTLED :] == ["flood"] * 3 * UNTHROTTLED
