"""What every delivery of one lane is carried out with."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic

from imsg_broker.port import Broker
from imsg_contract.topology import Lane
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.claims.store import Claims
from imsg_delivery.metrics import Metrics
from imsg_delivery.outage import OutageGuard
from imsg_delivery.outcome_publisher import OutcomePublisher
from imsg_delivery.pause import PauseSwitch
from imsg_limits.lag_throttle import LagThrottle
from imsg_people.lookups import RecipientLookups


@dataclass(frozen=True, slots=True)
class LaneContext(Generic[Prepared]):
    """What every delivery of one lane is carried out with."""

    lane: Lane
    channel: Channel[Prepared]
    broker: Broker
    publisher: OutcomePublisher
    claims: Claims
    lookups: RecipientLookups
    """Who may not be sent to."""
    pause: PauseSwitch
    metrics: Metrics
    queue: str
    """Where copies and chunks go, wherever their job came from."""
    above: Sequence[Lane]
    """The lanes above it."""
    shares: Sequence[asyncio.Semaphore]
    """What a call of the lane has to be within: its own share of the calls in flight, and those of the lanes above."""
    outage: OutageGuard
    """What all calls are held back by while nothing gets through."""
    lag_throttle: LagThrottle | None
    """What a list's calls hold back by; None for the other lanes."""
    waiting: Counter[Lane]
    """How many calls of each lane wait for a share: one of a list gives way to those above."""
    places: asyncio.Semaphore
    """Deliveries begun and not settled: few, since after a crash each of them is suspected and carried out alone."""
    steps_s: Sequence[int]
    waits_s: Sequence[int]
    """The steps, and those that only asking waits."""
    random: Random
    ending: Sequence[asyncio.Event]
    """Nothing is begun any more once one of them is set."""
    clock: Callable[[], float]
