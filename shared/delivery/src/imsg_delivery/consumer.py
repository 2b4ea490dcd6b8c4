"""A sender's worker: it consumes the lanes while the channel is not paused, and stops in good order."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Generic

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from imsg_broker.port import Broker
from imsg_contract.topology import LIVE_LANES, Lane, lanes_down_to
from imsg_delivery.channel import Channel, Prepared, SupportsOutage, SupportsSenderName, Terms
from imsg_delivery.claims.store import LEASE_S, Claims, owner_of
from imsg_delivery.groups import Groups
from imsg_delivery.lane_context import LaneContext
from imsg_delivery.metrics import Metrics
from imsg_delivery.outage import OutageGuard
from imsg_delivery.outcome_publisher import OutcomePublisher
from imsg_delivery.pause import PauseSwitch
from imsg_delivery.tasks import cancel, wait_for_all, wait_for_first
from imsg_delivery.template_channel import TemplateChannel
from imsg_limits.caps import Caps
from imsg_limits.lag_throttle import LagThrottle
from imsg_people.lookups import RecipientLookups, name_sender
from imsg_people.suppressions import SuppressionMirror
from imsg_people.tombstones import NO_KEY, Digests, Tombstones
from imsg_rendering.renderer import Renderer
from imsg_runtime.heartbeat import UNWATCHED, Heartbeat
from imsg_runtime.redis import Redis, RedisUnavailable

FINISH_S = 20.0
"""How long deliveries in flight may take once the worker stops; then they are cancelled."""

PREFETCH_PER_CALL = 8
"""Deliveries held for each call in flight: for single messages enough to hide the round trips around a call."""

PREFETCHED_RECIPIENTS = 5_000
"""At most so many recipients of lists are prefetched, some MB; but at least two chunks for each call."""

WAITING_SHARE = 4
"""At most one in so many prefetched deliveries waits for others to publish with: the rest keeps calls busy."""

PLACES_PER_CALL = 2
"""Deliveries begun for each call in flight: the next is looked up in the claims while a call goes on."""

RETIRE_S = 600.0
"""How long deliveries in flight may take once another worker of the process has taken over: a mail server may need it
for the final dot."""

REST_S = 1.0
"""How long a lane rests after it requeued what it held."""


def count_prefetch(lane: Lane, terms: Terms) -> int:
    """Return how many deliveries of a lane are prefetched; the lane of lists may be full of single messages too."""
    calls = terms.concurrency[lane]
    if lane in {Lane.PRIORITY, Lane.NORMAL}:
        return PREFETCH_PER_CALL * calls
    return min(PREFETCH_PER_CALL * calls, max(2 * calls, PREFETCHED_RECIPIENTS // terms.chunk_size))


@dataclass(frozen=True, slots=True)
class Durations:
    """The worker's times, shorter in tests."""

    lease_s: float = LEASE_S
    finish_s: float = FINISH_S


class Worker(Generic[Prepared]):
    """Sends the jobs of one channel, by promises 2 to 6 (docs/promises.md). `run` it once."""

    def __init__(
        self,
        channel: Channel[Prepared],
        broker: Broker,
        redis: Redis,
        *,
        metrics: CollectorRegistry,
        stopping: asyncio.Event,
        retiring: asyncio.Event | None = None,
        durations: Durations = Durations(),
        heartbeat: Heartbeat = UNWATCHED,
        erasure_keys: Sequence[SecretStr] = (),
        suppressions: SuppressionMirror | None = None,
        lanes: Sequence[Lane] = LIVE_LANES,
        publisher: type[OutcomePublisher] = OutcomePublisher,
        simulated: bool = False,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`retiring` is set once another worker of the process takes over: what is in flight then has its time.

        `simulated`: the sandbox stands in for the channel's providers.
        """
        self._channel = channel
        self._broker = broker
        self._stopping = stopping
        self._retiring = retiring or asyncio.Event()
        self._durations = durations
        self._clock = clock
        self._caps = Caps(redis, Digests(erasure_keys or NO_KEY).of)
        self._claims = Claims(redis, durations.lease_s, heartbeat.stopped)
        self._outage = OutageGuard(channel.find_outage if isinstance(channel, SupportsOutage) else lambda: None, clock)
        self._pause = PauseSwitch(redis, self._claims, channel.method, clock, self._outage.find_reported)
        self._metrics = Metrics(metrics, channel.method)
        self._metrics.blocked.set_function(lambda: float(self._pause.is_blocked))
        random = random or Random()  # noqa: S311  jitter
        many = max(1, count_prefetch(Lane.NORMAL, channel.terms) // WAITING_SHARE)
        self._publisher = publisher(broker, random, many=many, simulated=simulated)
        self._ended = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        tombstones = Tombstones(redis, Digests(erasure_keys)) if erasure_keys else None
        names = channel.name_sender if isinstance(channel, SupportsSenderName) else name_sender
        lookups = RecipientLookups(tombstones, suppressions, names)
        shares = {lane: asyncio.Semaphore(calls) for lane, calls in channel.terms.concurrency.items()}
        waiting: Counter[Lane] = Counter()
        self._lag_throttle = LagThrottle(clock, channel.terms.concurrency[Lane.BULK])
        self._groups = Groups[Prepared](owner_of(heartbeat.name, secrets.token_hex(6)), self._lag_throttle)
        self._renderer = Renderer()
        self._template_channel = TemplateChannel(channel, self._renderer)
        self._lanes = [self._open_lane(lane, lookups, shares, waiting, random) for lane in lanes]

    def _open_lane(
        self,
        lane: Lane,
        lookups: RecipientLookups,
        shares: Mapping[Lane, asyncio.Semaphore],
        waiting: Counter[Lane],
        random: Random,
    ) -> LaneContext[Prepared]:
        """Make the context of one lane; all lanes share `shares`, `waiting` and `lookups`."""
        return LaneContext(
            lane=lane,
            channel=self._channel,
            templates=self._template_channel,
            broker=self._broker,
            publisher=self._publisher,
            claims=self._claims,
            lookups=lookups,
            caps=self._caps,
            pause=self._pause,
            metrics=self._metrics,
            queue=self._broker.topology.queue(self._channel.method, lane),
            above=lanes_down_to(lane)[:-1],
            shares=[shares[above] for above in reversed(lanes_down_to(lane))],
            outage=self._outage,
            lag_throttle=self._lag_throttle if lane is Lane.BULK else None,
            waiting=waiting,
            places=asyncio.Semaphore(PLACES_PER_CALL * self._channel.terms.concurrency[lane]),
            steps_s=self._broker.topology.steps_s,
            waits_s=self._broker.topology.waits_s,
            random=random,
            ending=(self._ended, self._stopping, self._retiring),
            clock=self._clock,
        )

    async def run(self) -> None:
        """Work until it is to stop or to retire, or is cancelled; then end what is in flight and hand back the rest."""
        clockwork = (
            self._pause.watch(),
            self._outage.watch(),
            self._claims.keep_leases(),
            self._claims.compaction.keep_compacting(),
            self._lag_throttle.watch(),
        )
        helpers = [asyncio.create_task(coroutine) for coroutine in clockwork]
        topology, method = self._broker.topology, self._channel.method
        lanes = [asyncio.create_task(self._work(lane, topology.queue(method, lane.lane))) for lane in self._lanes]
        stopped = [asyncio.create_task(event.wait()) for event in (self._stopping, self._retiring)]
        try:
            await asyncio.wait({*helpers, *lanes, *stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended.set()
            try:
                await wait_for_all(lanes)
            finally:
                await cancel([*self._tasks, *helpers, *stopped])
                await self._renderer.close()
        ended = [task.exception() for task in (*lanes, *helpers) if not task.cancelled()]
        for error in ended:
            if error is not None:
                raise error

    def _is_ending(self) -> bool:
        return self._ended.is_set() or self._stopping.is_set() or self._retiring.is_set()

    async def _work(self, lane: LaneContext[Prepared], queue: str) -> None:
        """Consume one of a lane's queues whenever the channel is not paused."""
        prefetch = count_prefetch(lane.lane, self._channel.terms)
        while True:
            await wait_for_first(self._pause.wait_open(), self._ended.wait())
            if self._is_ending():
                return
            with suppress(RedisUnavailable):
                await self._claims.read_data_since_s()  # dated before what is accepted from here on
            tasks: set[asyncio.Task[None]] = set()
            requeue = asyncio.Event()
            self._outage.admit(lane.lane)
            async with self._broker.consume(queue, prefetch) as deliveries:
                consuming = self._groups.consume(lane, deliveries, (tasks, self._tasks), requeue)
                await wait_for_first(consuming, self._pause.wait_closed(), requeue.wait(), self._ended.wait())
                self._outage.dismiss(lane.lane)
                # What is in flight ends first, so that it can be acked; leaving hands back what is not.
                if tasks and self._retiring.is_set():
                    await wait_for_first(asyncio.wait(tasks, timeout=RETIRE_S), self._stopping.wait())
                if tasks:
                    await asyncio.wait(tasks, timeout=self._durations.finish_s)
                if self._is_ending():
                    await cancel(tasks)
            await wait_for_first(asyncio.sleep(REST_S), self._ended.wait())
