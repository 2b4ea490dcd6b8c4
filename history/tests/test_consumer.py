"""How long a batch waits for more: for next to nothing while few come, longer while many do and more still come."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from imsg_broker.port import Delivery
from imsg_contract.topology import OUTCOME
from imsg_history import consumer
from imsg_history.consumer import BATCH, BUSY_GATHER_S, BUSY_SIZE, GATHER_S, STAY_BUSY_SIZE, next_gather_s


def test_few_deliveries_do_not_wait_and_many_wait_longer() -> None:
    assert next_gather_s(GATHER_S, BUSY_SIZE - 1) == GATHER_S
    assert next_gather_s(GATHER_S, BUSY_SIZE) == BUSY_GATHER_S


def test_who_waited_longer_goes_on_so_at_eighty_a_second_and_no_fewer() -> None:
    assert next_gather_s(BUSY_GATHER_S, STAY_BUSY_SIZE) == BUSY_GATHER_S
    assert next_gather_s(BUSY_GATHER_S, STAY_BUSY_SIZE - 1) == GATHER_S
    assert STAY_BUSY_SIZE / BUSY_GATHER_S == 80


async def test_a_batch_is_closed_once_nothing_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATHER_S", "BUSY_GATHER_S"):
        monkeypatch.setattr(consumer, name, 600.0)
    assert await _cut([BUSY_SIZE, 3]) == [BUSY_SIZE, 3]


async def test_a_full_batch_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATHER_S", "BUSY_GATHER_S", "QUIET_S"):
        monkeypatch.setattr(consumer, name, 600.0)
    assert await _cut([2 * BATCH]) == [BATCH, BATCH]


async def _cut(comings: list[int]) -> list[int]:
    """Send deliveries in groups, each once the one before is in batches; return the sizes of the batches."""
    taken = asyncio.Event()

    async def come() -> AsyncIterator[Delivery]:
        for coming in comings:
            for _ in range(coming):
                yield Delivery(b"{}", OUTCOME, "imsg.history", {}, redelivered=False, handle=None)
            await taken.wait()
            taken.clear()

    sizes: list[int] = []
    batches = consumer._batches(come(), asyncio.Event())
    async with asyncio.timeout(60):
        for number in range(len(comings)):
            left = comings[number]
            while left:
                sizes.append(len(await anext(batches)))
                left -= sizes[-1]
            taken.set()
    await batches.aclose()
    return sizes
