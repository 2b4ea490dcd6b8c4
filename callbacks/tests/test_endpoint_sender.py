"""How one endpoint is served: within its bound, less once it fails, and nothing behind its back."""

import asyncio
from collections.abc import Sequence

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
    """A table, and an endpoint that answers when it is told to."""

    def __init__(self, table: int = 0, failures: int = 0) -> None:
        self.table = [due(number) for number in range(1_000, 1_000 + table)]
        self.takes: list[int] = []
        self.sent: list[int] = []
        self.open: list[asyncio.Future[EndpointReply]] = []
        self.sender = EndpointSender("a", self.take, self.send, failures)

    async def take(self, name: str, most: int, lease_ms: int) -> Sequence[DueDelivery]:
        """Give what there is."""
        del name, lease_ms
        self.takes.append(most)
        some, self.table = self.table[:most], self.table[most:]
        return some

    async def send(self, one: DueDelivery, is_failing: bool) -> EndpointReply:  # noqa: FBT001  as Send has it
        """Wait for `answer`."""
        del is_failing
        self.sent.append(one.number)
        self.open.append(asyncio.get_running_loop().create_future())
        return await self.open[-1]

    async def answer(self, status: int) -> None:
        """EndpointReply all that is open."""
        some, self.open = self.open, []
        for one in some:
            one.set_result(EndpointReply(status))
        await settle()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_handed_over_is_sent_within_the_bound_and_the_table_is_not_asked() -> None:
    bench = Bench()
    bench.sender.enqueue([due(number) for number in range(AT_ONCE + 3)])
    running = asyncio.create_task(bench.sender.run())
    await settle()
    assert (len(bench.sent), bench.sender.waiting, bench.sender.room) == (AT_ONCE, 3, MAX_WAITING - 3)

    await bench.answer(204)
    await bench.answer(204)
    await asyncio.wait_for(running, 1)

    assert (bench.sent, bench.takes, bench.sender.waiting) == (list(range(AT_ONCE + 3)), [], 0)


async def test_who_fails_again_and_again_gets_one_call_at_a_time_and_no_more_is_handed_over() -> None:
    bench = Bench()
    bench.sender.enqueue([due(number) for number in range(AT_ONCE + 5)])
    running = asyncio.create_task(bench.sender.run())
    await settle()
    await bench.answer(500)
    begun_before_it_was_known = FAILING_AFTER - 1
    assert (len(bench.open), bench.sender.room) == (begun_before_it_was_known, 0)
    await bench.answer(500)
    assert len(bench.open) == 1

    await bench.answer(204)
    assert (len(bench.open), bench.sender.room > 0) == (2, True)
    await bench.answer(204)
    await asyncio.wait_for(running, 1)


async def test_gone_leaves_what_waits() -> None:
    bench = Bench()
    bench.sender.enqueue([due(number) for number in range(AT_ONCE + 5)])
    running = asyncio.create_task(bench.sender.run())
    await settle()
    await bench.answer(410)
    await asyncio.wait_for(running, 1)

    assert (len(bench.sent), bench.sender.waiting) == (AT_ONCE, 0)


async def test_what_stands_in_the_table_is_taken_until_there_is_no_more() -> None:
    bench = Bench(table=MAX_WAITING + 1)
    bench.sender.wake()
    running = asyncio.create_task(bench.sender.run())
    while not running.done():
        await asyncio.sleep(0.01)
        await bench.answer(204)

    assert len(bench.sent) == MAX_WAITING + 1
    assert bench.takes == [MAX_WAITING] * 2


async def test_of_what_fails_one_is_taken_at_a_time() -> None:
    bench = Bench(table=2, failures=FAILING_AFTER)
    bench.sender.wake()
    running = asyncio.create_task(bench.sender.run())
    await settle()
    assert (bench.takes, len(bench.sent)) == ([1], 1)

    bench.sender.end()
    await bench.answer(500)
    await asyncio.wait_for(running, 1)
    assert len(bench.sent) == 1
