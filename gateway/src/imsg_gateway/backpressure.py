"""Whether the gateway may take more: how much waits at the broker, and whether it takes anything (promise 9)."""

import asyncio
from collections.abc import Mapping
from math import nan

from imsg_broker.port import Broker, Unreachable
from imsg_contract.errors import Refusal
from imsg_contract.topology import Lane

LOOK_EVERY_S = 1.0
RETRY_AFTER_S = 10
"""A backlog past the limit is not gone in a second; a blocked broker is freed by a person or a disk."""


class Backpressure:
    """Knows the depth of every channel, a second old at most."""

    def __init__(self, broker: Broker, max_depth: int) -> None:
        self._broker = broker
        self._max_depth = max_depth
        self._depths: Mapping[str, Mapping[Lane, int]] = {}
        self._consumers: Mapping[str, int] = {}
        self._is_reachable = False

    async def watch(self) -> None:
        """Look every second, for ever."""
        while True:
            try:
                self._depths = await self.depths()
                self._consumers = await self.consumers()
                self._is_reachable = True
            except Unreachable:
                self._is_reachable = False
            await asyncio.sleep(LOOK_EVERY_S)

    async def depths(self) -> dict[str, dict[Lane, int]]:
        """Count what waits for each channel in each lane now. Raises Unreachable."""
        topology = self._broker.topology
        return {
            method: {
                lane: sum([await self._broker.depth(queue) for queue in topology.queues(method, lane)]) for lane in Lane
            }
            for method in topology.methods
        }

    async def consumers(self) -> dict[str, int]:
        """Count the senders that consume for each channel, now: of its lanes the best served. Raises Unreachable."""
        topology = self._broker.topology
        counts = {}
        for method in topology.methods:
            counts[method] = max([await self._broker.consumers(topology.queue(method, lane)) for lane in Lane])
        return counts

    def count_consumers(self, method: str) -> float:
        """Say how many senders consume for a channel, as last seen; not a number where that is not known."""
        return self._consumers.get(method, nan) if self._is_reachable else nan

    def count_waiting(self, method: str, lane: Lane | None = None) -> float:
        """Say how much waits for a channel, or in a lane of it, as last seen; not a number where that is not known."""
        if not self._is_reachable or method not in self._depths:
            return nan
        depths = self._depths[method]
        return sum(depths.values()) if lane is None else depths[lane]

    def check(self, method: str, lane: Lane) -> None:
        """Raise Refusal where no more may be taken.

        broker_blocked where an alarm (memory, disk) keeps the broker from it, not_accepted where it is away, overloaded
        where too much waits for the channel; a code waits for no other lane, and so for what waits in its own alone.
        """
        if self._broker.blocked:
            raise Refusal("broker_blocked", retry_after_s=RETRY_AFTER_S)
        if not self._broker.ready:
            raise Refusal("not_accepted", retry_after_s=RETRY_AFTER_S)
        depths = self._depths.get(method, {})
        if (depths.get(lane, 0) if lane is Lane.PRIORITY else sum(depths.values())) > self._max_depth:
            raise Refusal("overloaded", retry_after_s=RETRY_AFTER_S)
