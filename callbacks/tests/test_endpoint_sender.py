"""One endpoint gets a bounded number of concurrent calls, and one at a time while it fails."""

import asyncio
from collections.abc import Sequence

import pytest

from imsg_callbacks.endpoint_sender import AT_ONCE, FAILING_AFTER, MAX_WAITING, EndpointSender
from imsg_callbacks.records import DueDelivery, Endpoint
from imsg_callbacks.schedule import EndpointReply


def due(number: int) -> DueDelivery:
    """Make a delivery."""
    return DueDelivery(
        Endpoint("a", "u", "zhang", is_admin=False, url="https://a.cn/", events=(), methods=None, description="",
                 secret="", old_secret=None, old_until=None, created_at=0),
        number, f"evt_{number}", "{}", 0,
    )  # fmt: skip


class Bench:
    """A table of due deliveries, and an endpoint that replies at `answer`."""

    def __init__(self, table: int = 0, failures: int = 0, room: int = MAX_WAITING) -> None:
        self.table = [due(number) for number in range(1_000, 1_000 + table)]
        self.leases: list[int] = []
        self.sent: list[int] = []
        self.open: list[asyncio.Future[EndpointReply]] = []
        self.sender = EndpointSender("a", self.lease, self.send, failures, lambda: room)

    async def lease(self, name: str, max_count: int, lease_ms: int) -> Sequence[DueDelivery]:
        """Return deliveries of the table."""
        del name, lease_ms
        self.leases.append(max_count)
        leased, self.table = self.table[:max_count], self.table[max_count:]
        return leased

    async def send(self, delivery: DueDelivery, is_failing: bool) -> EndpointReply:  # noqa: FBT001  the type `Send`
        """Wait for `answer`."""
        del is_failing
        self.sent.append(delivery.number)
        self.open.append(asyncio.get_running_loop().create_future())
        return await self.open[-1]

    async def answer(self, status: int) -> None:
        """Reply to all open calls."""
        calls, self.open = self.open, []
        for call in calls:
            call.set_result(EndpointReply(status))
        await settle()


async def settle() -> None:
    """Run all tasks that are ready."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_enqueued_deliveries_are_sent_within_the_bound_and_the_table_is_not_queried() -> None:
    bench = Bench()
    bench.sender.enqueue([due(number) for number in range(AT_ONCE + 3)])
    running = asyncio.create_task(bench.sender.run())
    await settle()
    assert (len(bench.sent), bench.sender.waiting, bench.sender.capacity) == (AT_ONCE, 3, MAX_WAITING - 3)

    await bench.answer(204)
    await bench.answer(204)
    await asyncio.wait_for(running, 60)

    assert (bench.sent, bench.leases, bench.sender.waiting) == (list(range(AT_ONCE + 3)), [], 0)


async def test_a_failing_endpoint_gets_one_call_at_a_time_and_takes_no_more_deliveries() -> None:
    bench = Bench()
    bench.sender.enqueue([due(number) for number in range(AT_ONCE + 5)])
    running = asyncio.create_task(bench.sender.run())
    await settle()
    await bench.answer(500)
    started_before_the_third_failure = FAILING_AFTER - 1
    assert (len(bench.open), bench.sender.capacity) == (started_before_the_third_failure, 0)
    await bench.answer(500)
    assert len(bench.open) == 1

    await bench.answer(204)
    assert (len(bench.open), bench.sender.capacity > 0) == (2, True)
    await bench.answer(204)
    await asyncio.wait_for(running, 60)


async def test_after_a_410_the_waiting_deliveries_are_not_sent() -> None:
    bench = Bench()
    bench.sender.enqueue([due(number) for number in range(AT_ONCE + 5)])
    running = asyncio.create_task(bench.sender.run())
    await settle()
    await bench.answer(410)
    await asyncio.wait_for(running, 60)

    assert (len(bench.sent), bench.sender.waiting) == (AT_ONCE, 0)


async def test_deliveries_in_the_table_are_leased_until_there_are_no_more() -> None:
    bench = Bench(table=MAX_WAITING + 1)
    bench.sender.wake()
    running = asyncio.create_task(bench.sender.run())
    while not running.done():
        await asyncio.sleep(0.01)
        await bench.answer(204)

    assert len(bench.sent) == MAX_WAITING + 1
    assert bench.leases == [MAX_WAITING] * 2


async def test_a_failing_endpoint_leases_one_delivery_at_a_time() -> None:
    bench = Bench(table=2, failures=FAILING_AFTER)
    bench.sender.wake()
    running = asyncio.create_task(bench.sender.run())
    await settle()
    assert (bench.leases, len(bench.sent)) == ([1], 1)

    bench.sender.stop()
    await bench.answer(500)
    await asyncio.wait_for(running, 60)
    assert len(bench.sent) == 1


@pytest.mark.parametrize(("room", "leased"), [(0, AT_ONCE), (AT_ONCE + 2, AT_ONCE + 2), (100_000, MAX_WAITING)])
async def test_no_more_is_leased_than_memory_has_room_for(room: int, leased: int) -> None:
    """Where a thousand endpoints have a backlog, each goes on with as many calls as it may have in flight."""
    bench = Bench(table=2 * MAX_WAITING, room=room)
    bench.sender.wake()
    running = asyncio.create_task(bench.sender.run())
    await settle()
    assert (bench.leases, len(bench.sent)) == ([leased], AT_ONCE)
    bench.sender.stop()
    await bench.answer(204)
    await asyncio.wait_for(running, 60)
