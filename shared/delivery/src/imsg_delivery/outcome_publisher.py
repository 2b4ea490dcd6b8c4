"""Publishes outcomes and copies of jobs: repeats each until the broker confirms it, or the delivery is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from random import Random

from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown
from imsg_contract.topology import OUTCOME
from imsg_contract.wire import Job, Outcome, Outcomes
from imsg_delivery.delays import FIRST_WAIT_S, MAX_WAIT_S
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

MAX_BATCH = 1_000
"""Outcomes of one message: some 300 bytes each, far below the broker's limit even where providers are talkative."""

APART_S = 0.025
"""How far apart two of its publishes begin: closer outcomes are published together, and one that comes after a while
does not wait. Each is an entry in RabbitMQ's log, a delivery and an ack, and to history a message to decode."""

Waiting = tuple[Sequence[Outcome], Delivery, asyncio.Future[bool]]
"""Outcomes of a delivery, and the future that is set once they are kept."""

Held = Callable[[], bool]


class OutcomePublisher:
    """Publishes for a worker. Methods return whether the broker confirmed; False where the delivery was lost first."""

    def __init__(
        self, broker: Broker, random: Random, *, many: int, apart_s: float = APART_S, simulated: bool = False
    ) -> None:
        """`apart_s`: how far apart publishes begin; `many`: so many deliveries are enough for one at once.

        Each has its place among those that a worker holds until it is acked. `simulated` marks the outcomes that a
        provider is named in: the sandbox simulates it.
        """
        self._broker = broker
        self._random = random
        self._problem = RecurringProblem(log, "publish_repeated")
        self._route = broker.topology.new(OUTCOME)
        self._waiting: list[Waiting] = []
        self._size = 0
        """How many outcomes these are."""
        self._is_time = asyncio.Event()
        self._publishing: asyncio.Task[None] | None = None
        self._apart_s = apart_s
        self._many = many
        self._is_simulated = simulated
        self._next_at = 0.0
        """Before this time of the loop's no publish begins."""

    async def publish(self, outcomes: Sequence[Outcome], delivery: Delivery) -> bool:
        """Publish outcomes to history; those of several deliveries at the same time travel in one batch."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._is_simulated:
            outcomes = [outcome.model_copy(update={"simulated": outcome.provider is not None}) for outcome in outcomes]
        self._waiting.append((outcomes, delivery, kept))
        self._size += len(outcomes)
        if self._is_enough():
            self._is_time.set()
        if self._publishing is None:
            # Its lines are of many jobs: none of them names one job's API key.
            self._publishing = asyncio.create_task(self._publish_waiting(), context=Context())
        return await kept

    async def split(self, chunks: Sequence[Job], queue: str, delivery: Delivery) -> bool:
        """Publish chunks to a queue of their own; return whether all were confirmed."""
        route = self._broker.topology.direct(queue)
        return await self._publish_all(
            [partial(self._broker.publish, chunk.encode(), route) for chunk in chunks], delivery
        )

    async def delay(self, copies: Sequence[tuple[Job, int]], queue: str, delivery: Delivery) -> bool:
        """Delay copies (job, seconds), to come to a queue."""
        return await self._publish_all(
            [partial(self._broker.delay, queue, copy.encode(), step_s) for copy, step_s in copies], delivery
        )

    async def dead_letter(self, delivery: Delivery, reason: str) -> bool:
        """Dead-letter a delivery to history; that acks it."""
        return await self._publish_until_confirmed(
            lambda: self._broker.dead_letter(delivery, reason), lambda: delivery.held
        )

    async def _publish_all(self, publishes: Sequence[Callable[[], Awaitable[None]]], delivery: Delivery) -> bool:
        return all(
            await asyncio.gather(
                *(self._publish_until_confirmed(publish, lambda: delivery.held) for publish in publishes)
            )
        )

    async def _publish_until_confirmed(self, publish: Callable[[], Awaitable[None]], held: Held) -> bool:
        tries = 0
        while held():
            try:
                await publish()
            except (PublishRefused, PublishUnknown) as error:
                self._problem.report(error)
                tries += 1
                draw = self._random.random()
                await asyncio.sleep(back_off_s(tries, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S))
            else:
                self._problem.clear()
                return True
        return False

    async def _publish_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await self._gather()
                self._next_at = loop.time() + self._apart_s
                await self._publish_batch(self._next_batch())
        finally:
            self._publishing = None
            left, self._waiting, self._size = self._waiting, [], 0
            for _, _, kept in left:  # a bug, or being cancelled: no delivery waits for ever
                if not kept.done():
                    kept.set_result(False)

    async def _gather(self) -> None:
        """Wait until the next publish is due: its time has come, or it is enough for one."""
        loop = asyncio.get_running_loop()
        if self._next_at <= loop.time() or self._is_enough():
            return
        self._is_time.clear()
        timer = loop.call_at(self._next_at, self._is_time.set)
        try:
            await self._is_time.wait()
        finally:
            timer.cancel()

    def _is_enough(self) -> bool:
        return len(self._waiting) >= self._many or self._size >= MAX_BATCH

    def _next_batch(self) -> list[Waiting]:
        count, size = 0, 0
        for outcomes, _, _ in self._waiting:
            if count and size + len(outcomes) > MAX_BATCH:
                break
            count += 1
            size += len(outcomes)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._size -= size
        return batch

    async def _publish_batch(self, batch: Sequence[Waiting]) -> None:
        outcomes = Outcomes(outcomes=tuple(outcome for outcomes, _, _ in batch for outcome in outcomes))
        body = outcomes.model_dump_json().encode()
        kept = False
        try:
            kept = await self._publish_until_confirmed(
                lambda: self._broker.publish(body, self._route), lambda: any(delivery.held for _, delivery, _ in batch)
            )
        finally:
            for _, _, future in batch:
                if not future.done():
                    future.set_result(kept)
