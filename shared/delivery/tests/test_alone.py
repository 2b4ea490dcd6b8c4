"""Many at once or one alone."""

import asyncio

from imsg_delivery.slots import ReadWriteLock


class Room:
    """Counts who is inside."""

    def __init__(self) -> None:
        self.lock = ReadWriteLock()
        self.inside: set[str] = set()
        self.seen: list[frozenset[str]] = []

    async def enter(self, name: str, leave: asyncio.Event, *, alone: bool = False) -> None:
        """Hold the lock until `leave` is set."""
        async with self.lock.alone() if alone else self.lock.share():
            self.inside.add(name)
            self.seen.append(frozenset(self.inside))
            await leave.wait()
            self.inside.remove(name)


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_many_are_inside_together() -> None:
    room, leave = Room(), asyncio.Event()
    tasks = [asyncio.create_task(room.enter(name, leave)) for name in "abc"]
    await _turns()
    assert room.inside == set("abc")
    leave.set()
    await asyncio.gather(*tasks)


async def test_who_wants_to_be_alone_waits_for_those_inside_and_keeps_others_out() -> None:
    room, first, alone, later = Room(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(room.enter("a", first))]
    await _turns()
    tasks.append(asyncio.create_task(room.enter("x", alone, alone=True)))
    await _turns()
    tasks.append(asyncio.create_task(room.enter("b", later)))
    await _turns()
    assert room.inside == {"a"}
    first.set()
    await _turns()
    assert room.inside == {"x"}
    alone.set()
    await _turns()
    assert room.inside == {"b"}
    later.set()
    await asyncio.gather(*tasks)


async def test_several_who_want_to_be_alone_take_turns() -> None:
    room, leave = Room(), asyncio.Event()
    leave.set()
    await asyncio.gather(*(room.enter(str(number), leave, alone=True) for number in range(5)))
    assert all(len(inside) == 1 for inside in room.seen)


async def test_one_who_gave_up_waiting_to_be_alone_leaves_the_door_open() -> None:
    room, leave = Room(), asyncio.Event()
    inside = asyncio.create_task(room.enter("a", leave))
    await _turns()
    waiting = asyncio.create_task(room.enter("x", leave, alone=True))
    await _turns()
    waiting.cancel()
    await _turns()
    other = asyncio.create_task(room.enter("b", leave))
    await _turns()
    assert room.inside == {"a", "b"}
    leave.set()
    await asyncio.gather(inside, other)
