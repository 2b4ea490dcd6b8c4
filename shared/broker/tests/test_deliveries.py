"""What one consumer holds: what waits is taken together."""

import asyncio

import pytest

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import Delivery


def delivery(number: int) -> Delivery:
    """Make one."""
    return Delivery(str(number).encode(), "key", "queue", {}, redelivered=False, handle=None)


async def test_what_waits_is_taken_together_in_order_and_no_more_than_asked_for() -> None:
    deliveries, made = Deliveries(), [delivery(number) for number in range(5)]
    for made_delivery in made:
        deliveries.add(made_delivery)
    assert await deliveries.receive_batch(3) == made[:3]
    assert await deliveries.receive_batch(3) == made[3:]


async def test_where_nothing_waits_the_next_is_waited_for() -> None:
    deliveries, made = Deliveries(), [delivery(number) for number in range(2)]
    taking = asyncio.create_task(deliveries.receive_batch(3))
    await asyncio.sleep(0)
    deliveries.add(made[0])
    assert await taking == made[:1]
    deliveries.add(made[1])
    assert await anext(deliveries) is made[1]


async def test_what_was_lost_meanwhile_is_not_taken() -> None:
    deliveries, made = Deliveries(), [delivery(number) for number in range(3)]
    for made_delivery in made[:2]:
        deliveries.add(made_delivery)
    deliveries.drop_all()
    deliveries.add(made[2])
    assert await deliveries.receive_batch(9) == made[2:]


async def test_an_end_comes_after_what_arrived_before_it_and_stays() -> None:
    deliveries, made = Deliveries(), delivery(1)
    deliveries.add(made)
    deliveries.end(OSError("gone"))
    assert not made.held
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            await deliveries.receive_batch(9)
    with pytest.raises(OSError, match="gone"):
        await anext(deliveries)


async def test_an_orderly_end_is_nothing() -> None:
    deliveries = Deliveries()
    deliveries.end()
    assert await deliveries.receive_batch(9) == []
    assert await deliveries.receive_batch(9) == []
