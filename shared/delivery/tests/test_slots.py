"""Slots: the number of concurrent calls, and their order."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import cast

from imsg_contract.topology import LIVE_LANES, Lane, lanes_down_to
from imsg_delivery.channel import Terms
from imsg_delivery.chunk_workflow import ChunkWorkflow
from imsg_delivery.consumer import count_prefetch
from imsg_delivery.lane_context import LaneContext
from imsg_delivery.outage import OutageGuard
from imsg_delivery.slots import Slot

SHARES = {Lane.PRIORITY: 4, Lane.NORMAL: 3, Lane.BULK: 2}
ONE = dict.fromkeys(Lane, 1)
NOT_HELD = OutageGuard(lambda: None, time.monotonic)


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Calls:
    """Calls that last until they are released."""

    def __init__(self, limits: Mapping[Lane, int]) -> None:
        shares = {lane: asyncio.Semaphore(calls) for lane, calls in limits.items()}
        waiting: Counter[Lane] = Counter()
        self.lanes = {lane: _context(lane, shares, waiting) for lane in LIVE_LANES}
        self.begun: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, lane: Lane, *names: str) -> None:
        """Begin calls, or wait to."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._call(lane, name))
        await _turns()

    async def end(self, *names: str) -> None:
        """End calls."""
        for name in names:
            self._ends[name].set()
        await _turns()

    async def _call(self, lane: Lane, name: str) -> None:
        async with Slot(self.lanes[lane]):
            self.begun.append(name)
            await self._ends[name].wait()


def _context(lane: Lane, shares: Mapping[Lane, asyncio.Semaphore], waiting: "Counter[Lane]") -> LaneContext[None]:
    """Make what a slot looks at of a lane's context."""
    within = [shares[above] for above in reversed(lanes_down_to(lane))]
    return cast(
        "LaneContext[None]",
        SimpleNamespace(
            lane=lane,
            above=lanes_down_to(lane)[:-1],
            shares=within,
            lag_throttle=None,
            waiting=waiting,
            outage=NOT_HELD,
        ),
    )


async def test_lists_leave_a_share_to_single_messages_and_these_one_to_codes() -> None:
    calls = Calls(SHARES)
    await calls.begin(Lane.BULK, "list 1", "list 2", "list 3")
    assert calls.begun == ["list 1", "list 2"]
    await calls.begin(Lane.NORMAL, "single 1", "single 2")
    assert calls.begun[2:] == ["single 1"]
    await calls.begin(Lane.PRIORITY, "code 1", "code 2")
    assert calls.begun[3:] == ["code 1"]


async def test_slots_unused_by_higher_lanes_go_to_waiting_calls() -> None:
    calls = Calls(SHARES)
    await calls.begin(Lane.NORMAL, "1", "2", "3", "4")
    assert calls.begun == ["1", "2", "3"]
    await calls.end("1")
    assert calls.begun == ["1", "2", "3", "4"]
    await calls.begin(Lane.PRIORITY, "code")
    await calls.end("2", "3", "4", "code")
    await calls.begin(Lane.PRIORITY, "a", "b", "c", "d")
    assert calls.begun[-4:] == ["a", "b", "c", "d"]


async def test_a_code_waits_for_one_call_at_most_where_there_is_but_one_slot() -> None:
    calls = Calls(ONE)
    await calls.begin(Lane.BULK, "list")
    await calls.begin(Lane.NORMAL, "1", "2", "3")
    await calls.begin(Lane.PRIORITY, "code")
    await calls.end("list")
    assert calls.begun == ["list", "code"]
    await calls.end("code")
    assert calls.begun == ["list", "code", "1"]


async def test_a_stream_of_single_messages_keeps_no_list_waiting_for_ever() -> None:
    calls = Calls(ONE)
    await calls.begin(Lane.NORMAL, "1", "2")
    await calls.begin(Lane.BULK, "list")
    await calls.begin(Lane.NORMAL, "3", "4")
    await calls.end("1", "2")
    assert calls.begun == ["1", "2", "list"]


async def test_a_list_gives_way_between_two_of_its_calls() -> None:
    calls = Calls(ONE)
    async with Slot(calls.lanes[Lane.BULK]) as slot:
        assert not slot.is_wanted()
        await calls.begin(Lane.PRIORITY, "code")
        assert slot.is_wanted()
        giving = asyncio.create_task(slot.give_way())
        await _turns()
        assert (calls.begun, giving.done()) == (["code"], False)
        await calls.end("code")
        assert giving.done()
        assert not slot.is_wanted()


async def test_who_is_cancelled_leaves_nothing_taken() -> None:
    """While it waits, and while it gives way."""
    calls = Calls(ONE)
    await calls.begin(Lane.PRIORITY, "code")
    await calls.begin(Lane.NORMAL, "waits")
    calls.tasks["waits"].cancel()
    await calls.end("code")

    async def hold() -> None:
        async with Slot(calls.lanes[Lane.BULK]) as slot:
            await calls.begin(Lane.PRIORITY, "another")
            await slot.give_way()

    holding = asyncio.create_task(hold())
    for _ in range(3):
        await _turns()
    holding.cancel()
    await calls.end("another")
    await calls.begin(Lane.NORMAL, "last")
    assert calls.begun == ["code", "another", "last"]
    assert not any(calls.lanes[Lane.BULK].waiting.values())


class Chunk(ChunkWorkflow[None]):
    """A chunk of two calls, of which the second gives way first."""

    def __init__(self, lane: LaneContext[None]) -> None:
        self._lane, self._is_forced = lane, False
        self.is_background, self.ends = asyncio.Event(), asyncio.Event()

    async def carry(self) -> bool:
        """Make both calls."""
        async with Slot(self._lane) as slot:
            self.slot = slot
            return await self._call_side_by_side(None, iter(()), 2, slot)

    async def _call_in_turn(self, prepared: None, calls: Iterator[Sequence[int]], slot: Slot[None]) -> bool:
        del prepared, calls
        if slot is self.slot:
            await self.ends.wait()
        else:
            await self.is_background.wait()
            await slot.give_way()
        return True


async def test_a_chunk_whose_last_call_gave_way_leaves_it_the_slot_it_has_itself() -> None:
    """Chunks that kept theirs, each waiting for a call of its own, kept all slots for ever."""
    calls = Calls({Lane.PRIORITY: 2, Lane.NORMAL: 2, Lane.BULK: 2})
    chunk = Chunk(calls.lanes[Lane.BULK])
    carrying = asyncio.create_task(chunk.carry())
    await _turns()
    await calls.begin(Lane.NORMAL, "single that takes long")
    assert calls.begun == []
    chunk.is_background.set()
    await _turns()
    assert calls.begun == ["single that takes long"]
    chunk.ends.set()
    async with asyncio.timeout(60):
        assert await carrying
    await calls.end("single that takes long")


def test_as_many_small_chunks_are_held_as_single_messages_and_few_large_ones() -> None:
    def count(chunk_size: int) -> list[int]:
        calls = {Lane.PRIORITY: 16, Lane.NORMAL: 14, Lane.BULK: 12}
        terms = Terms(chunk_size=chunk_size, call_size=1, concurrency=calls, uncertain="repeat")
        return [count_prefetch(lane, terms) for lane in LIVE_LANES]

    assert count(50) == [128, 112, 96]
    assert count(1_000) == [128, 112, 24]
