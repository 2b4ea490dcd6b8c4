"""Batches of deliveries that are processed until they are done, whatever is away meanwhile."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from imsg_broker.port import Broker, Delivery, Unreachable
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem

FIRST_WAIT_S = 0.1
MAX_WAIT_S = 5.0


async def process_until_done(
    batch: Sequence[Delivery],
    process: Callable[[Sequence[Delivery]], Awaitable[None]],
    unavailable: tuple[type[Exception], ...],
    problem: RecurringProblem,
) -> None:
    """Process a batch; repeat it with back-off where `process` raises one of `unavailable`.

    A repeat leaves out the deliveries that are not held any more.

    Nothing is acknowledged meanwhile, so that the consumer's prefetch bounds what is held.
    """
    failures = 0
    while batch := [delivery for delivery in batch if delivery.held]:
        try:
            await process(batch)
        except unavailable as error:
            failures += 1
            problem.report(error, waiting=len(batch))
            draw = random.random()  # noqa: S311  jitter
            await asyncio.sleep(back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S))
        else:
            problem.clear()
            return


async def acknowledge(broker: Broker, deliveries: Sequence[Delivery]) -> None:
    """Acknowledge deliveries; one that was requeued meanwhile is delivered again, and changes nothing."""
    for delivery in deliveries:
        with suppress(Unreachable):
            await broker.ack(delivery)
