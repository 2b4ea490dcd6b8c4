"""How one endpoint is served: within its bound, less once it fails, and nothing behind its back."""

import asyncio
from collections.abc import Sequence

from imsg_callbacks.outcomes import Due, Endpoint
from imsg_callbacks.schedule import EndpointReply
from imsg_callbacks.serving import (
    AT_ONCE,
    FAILING_AFTER,
    HELD,
    HELD_IN_ALL,
    MOST_HELD,
    PACES,
    SENT_WITHIN_MS,
    TAKEN_AT_ONCE,
    Held,
    Serving,
)


def due(number: int) -> Due:
    """Make a delivery."""
    return Due(
        Endpoint("a", "u", "zhang", is_admin=False, url="https://a.cn/", events=(), methods=None, description="",
                 secret="", old_secret=None, old_until=None, created_at=0),
        number, f"evt_{number}", "{}", 0,
    )  # fmt: skip


class World:
    """A table, and an endpoint that answers when it is told to."""

    def __init__(self, table: int = 0, failures: int = 0) -> None:
        self.table = [due(number) for number in range(1_000, 1_000 + table)]
        self.takes: list[int] = []
        self.sent: list[int] = []
        self.open: list[asyncio.Future[EndpointReply]] = []
        self.held = Held()
        self.serving = Serving("a", self.take, self.send, self.held, failures)

    async def take(self, name: str, most: int, lease_ms: int) -> Sequence[Due]:
        """Give what there is."""
        del name, lease_ms
        self.takes.append(most)
        some, self.table = self.table[:most], self.table[most:]
        return some

    async def send(self, one: Due, is_failing: bool) -> EndpointReply:  # noqa: FBT001  as Send has it
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
    world = World()
    world.serving.give([due(number) for number in range(AT_ONCE + 3)])
    running = asyncio.create_task(world.serving.run())
    await settle()
    assert (len(world.sent), world.held.count, world.serving.room) == (AT_ONCE, 3, HELD - 3)

    await world.answer(204)
    await world.answer(204)
    await asyncio.wait_for(running, 1)

    assert (world.sent, world.takes, world.held.count) == (list(range(AT_ONCE + 3)), [], 0)


async def test_who_fails_again_and_again_gets_one_call_at_a_time_and_no_more_is_handed_over() -> None:
    world = World()
    world.serving.give([due(number) for number in range(AT_ONCE + 5)])
    running = asyncio.create_task(world.serving.run())
    await settle()
    await world.answer(500)
    begun_before_it_was_known = FAILING_AFTER - 1
    assert (len(world.open), world.serving.room) == (begun_before_it_was_known, 0)
    await world.answer(500)
    assert len(world.open) == 1

    await world.answer(204)
    assert (len(world.open), world.serving.room > 0) == (2, True)
    await world.answer(204)
    await asyncio.wait_for(running, 1)


async def test_gone_leaves_what_waits() -> None:
    world = World()
    world.serving.give([due(number) for number in range(AT_ONCE + 5)])
    running = asyncio.create_task(world.serving.run())
    await settle()
    await world.answer(410)
    await asyncio.wait_for(running, 1)

    assert (len(world.sent), world.held.count) == (AT_ONCE, 0)


async def test_what_stands_in_the_table_is_taken_until_there_is_no_more() -> None:
    world = World(table=HELD + 1)
    world.serving.look()
    running = asyncio.create_task(world.serving.run())
    while not running.done():
        await asyncio.sleep(0.01)
        await world.answer(204)

    assert len(world.sent) == HELD + 1
    assert world.takes[:2] == [HELD, TAKEN_AT_ONCE], "more at once of who has turned out to be fast"


async def test_of_what_fails_one_is_taken_at_a_time() -> None:
    world = World(table=2, failures=FAILING_AFTER)
    world.serving.look()
    running = asyncio.create_task(world.serving.run())
    await settle()
    assert (world.takes, len(world.sent)) == ([1], 1)

    world.serving.end()
    await world.answer(500)
    await asyncio.wait_for(running, 1)
    assert len(world.sent) == 1


def test_as_much_waits_in_memory_as_is_sent_in_time() -> None:
    held = Held()
    assert held.find_bound("new", 0) == HELD

    held.note("fast", 0)
    held.note("usual", 250)
    held.note("slow", 5_000)
    bounds = [held.find_bound(name, 0) for name in ("fast", "usual", "slow")]
    assert bounds == [MOST_HELD, AT_ONCE * SENT_WITHIN_MS // 250, HELD]

    for _ in range(50):
        held.note("fast", 5_000)
    assert held.find_bound("fast", 0) == HELD, "it has become slow"


def test_the_pace_of_who_was_called_longest_ago_is_forgotten() -> None:
    held = Held()
    held.note("first", 1)
    for number in range(PACES):
        held.note(f"{number}", 1)
    assert (held.find_bound("first", 0), held.find_bound("0", 0)) == (HELD, MOST_HELD)


def test_what_fast_endpoints_have_beyond_the_others_they_share() -> None:
    held = Held()
    held.note("a", 1)
    held.note("b", 1)
    held.count = MOST_HELD - 100
    assert held.find_bound("a", MOST_HELD - 100) == MOST_HELD, "all of it is its own"
    assert held.find_bound("b", 0) == 100
    held.count = MOST_HELD
    assert held.find_bound("b", 0) == HELD


async def test_an_endpoint_takes_no_more_than_there_is_room_for_and_some_in_any_case() -> None:
    world = World(table=10_000)
    world.held.note("a", 1)
    world.held.count = MOST_HELD - HELD - 1
    world.serving.look()
    running = asyncio.create_task(world.serving.run())
    await settle()
    assert world.takes == [HELD + 1]

    world.held.count += HELD_IN_ALL
    while len(world.takes) == 1:
        await world.answer(204)
    assert world.takes[1] == HELD, "none is held up by the others"
    world.serving.end()
    await world.answer(204)
    await asyncio.wait_for(running, 1)
