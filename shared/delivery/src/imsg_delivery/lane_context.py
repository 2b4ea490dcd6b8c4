"""The context of a lane: the channel, stores and limits that its deliveries share."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic

from imsg_broker.port import Broker
from imsg_contract.topology import Lane
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.claims.store import Claims
from imsg_delivery.metrics import Metrics
from imsg_delivery.outage import OutageGuard
from imsg_delivery.outcome_publisher import OutcomePublisher
from imsg_delivery.pause import PauseSwitch
from imsg_limits.caps import Caps
from imsg_limits.lag_throttle import LagThrottle
from imsg_people.lookups import RecipientLookups
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class LaneContext(Generic[Prepared]):
    """The channel, stores and limits that the deliveries of one lane share."""

    lane: Lane
    channel: Channel[Prepared]
    templates: Channel[Any]
    """Renders what is by template, and hands it to the channel."""
    broker: Broker
    publisher: OutcomePublisher
    claims: Claims
    lookups: RecipientLookups
    """Find the recipients that are erased or suppressed."""
    caps: Caps
    """Count what each address gets."""
    pause: PauseSwitch
    metrics: Metrics
    queue: str
    """The queue of copies and chunks."""
    above: Sequence[Lane]
    """The lanes above it."""
    shares: Sequence[asyncio.Semaphore]
    """The semaphores that a call of the lane holds: its own lane's, and those of the lanes above."""
    outage: OutageGuard
    """Stops all calls during an outage."""
    lag_throttle: LagThrottle | None
    """Slows the calls of lists; None for the other lanes."""
    waiting: Counter[Lane]
    """How many calls of each lane wait for a share: one of a list gives way to those above."""
    places: asyncio.Semaphore
    """Limits deliveries begun and not settled: after a crash each of them is suspected and sent in isolation."""
    steps_s: Sequence[int]
    waits_s: Sequence[int]
    """The steps, and those of status queries only."""
    random: Random
    ending: Sequence[asyncio.Event]
    """Once one of them is set no delivery is begun any more."""
    clock: Callable[[], float]
    cap_problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "caps_unknown", quiet_s=QUIET_S), compare=False
    )
