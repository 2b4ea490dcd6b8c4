"""How long a batch waits for more: for next to nothing while few come, longer while many do and more still come."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from imsg_broker.port import Delivery
from imsg_contract.topology import OUTCOME
from imsg_history import consumer
from imsg_history.consumer import BATCH, GATHER_S, LONGER_S, MANY, STILL_MANY, next_gather_s


def test_few_wait_for_nobody_and_many_wait_longer() -> None:
    assert next_gather_s(GATHER_S, MANY - 1) == GATHER_S
    assert next_gather_s(GATHER_S, MANY) == LONGER_S


def test_who_waited_longer_goes_on_so_at_eighty_a_second_and_no_fewer() -> None:
    assert next_gather_s(LONGER_S, STILL_MANY) == LONGER_S
    assert next_gather_s(LONGER_S, STILL_MANY - 1) == GATHER_S
    assert STILL_MANY / LONGER_S == 80


async def test_a_batch_is_closed_once_nothing_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATHER_S", "LONGER_S"):
        monkeypatch.setattr(consumer, name, 600.0)
    assert await _cut([MANY, 3]) == [MANY, 3]


async def test_a_full_batch_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATHER_S", "LONGER_S", "QUIET_S"):
        monkeypatch.setattr(consumer, name, 600.0)
    assert await _cut([2 * BATCH]) == [BATCH, BATCH]


async def _cut(comings: list[int]) -> list[int]:
    """Let so many deliveries come, the next once those before are in batches; return the sizes of the batches."""
    taken = asyncio.Event()

    async def come() -> AsyncIterator[Delivery]:
        for coming in comings:
            for _ in range(coming):
                yield Delivery(b"{}", OUTCOME, "imsg.history", {}, redelivered=False, handle=None)
            await taken.wait()
            taken.clear()

    sizes: list[int] = []
    batches = consumer._batches(come(), asyncio.Event())
    async with asyncio.timeout(10):
        for number in range(len(comings)):
            left = comings[number]
            while left:
                sizes.append(len(await anext(batches)))
                left -= sizes[-1]
            taken.set()
    await batches.aclose()
    return sizes
