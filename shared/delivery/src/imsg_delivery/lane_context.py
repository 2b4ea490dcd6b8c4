"""What every part of one lane is carried out with."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic

from imsg_contract.topology import Lane
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.claims.store import Ledger
from imsg_delivery.metrics import Meter
from imsg_delivery.outcome_publisher import Outbox
from imsg_delivery.pause import Gate
from imsg_runtime.tombstones import Tombstones


@dataclass(frozen=True, slots=True)
class Bench(Generic[Prepared]):
    """What every part of one lane is carried out with."""

    lane: Lane
    channel: Channel[Prepared]
    outbox: Outbox
    ledger: Ledger
    tombstones: Tombstones
    gate: Gate
    meter: Meter
    slots: asyncio.Semaphore
    """The lane's share of calls in flight."""
    places: asyncio.Semaphore
    """Deliveries begun and not settled: few, since after a crash each of them is suspected and taken alone."""
    steps_s: Sequence[int]
    waits_s: Sequence[int]
    """The steps, and those that only asking waits."""
    random: Random
    is_ending: Callable[[], bool]
    clock: Callable[[], float]
