"""What one consumer holds: what waits can be taken together, without waiting."""

import pytest

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import Delivery


def delivery(number: int) -> Delivery:
    """Make one."""
    return Delivery(str(number).encode(), "key", "queue", {}, redelivered=False, handle=None)


async def test_what_waits_is_taken_together_in_order_and_no_more_than_asked_for() -> None:
    deliveries, made = Deliveries(), [delivery(number) for number in range(5)]
    for one in made:
        deliveries.add(one)
    assert await anext(deliveries) is made[0]
    assert deliveries.take_waiting(3) == made[1:4]
    assert deliveries.take_waiting(3) == made[4:]
    assert deliveries.take_waiting(3) == []


async def test_what_was_lost_meanwhile_is_not_taken() -> None:
    deliveries, made = Deliveries(), [delivery(number) for number in range(3)]
    for one in made[:2]:
        deliveries.add(one)
    deliveries.lose()
    deliveries.add(made[2])
    assert deliveries.take_waiting(9) == made[2:]


async def test_the_end_is_left_for_who_waits() -> None:
    deliveries = Deliveries()
    deliveries.end(OSError("gone"))
    assert deliveries.take_waiting(9) == []
    with pytest.raises(OSError, match="gone"):
        await anext(deliveries)
