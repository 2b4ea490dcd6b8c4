"""Backpressure: requests are refused while too many messages wait at the broker, or it accepts nothing."""

import asyncio
from collections.abc import Mapping
from math import nan

from imsg_broker.port import Broker, Load, Unreachable
from imsg_contract.errors import Refusal
from imsg_contract.topology import LIVE_LANES, Lane

READ_EVERY_S = 1.0
RETRY_AFTER_S = 10
"""More than a second, since a backlog takes longer to drain, and an operator has to unblock a broker."""


class Backpressure:
    """Reads the depth of every channel's queues each second."""

    def __init__(self, broker: Broker, max_depth: int) -> None:
        self._broker = broker
        self._max_depth = max_depth
        self._loads: Mapping[str, Mapping[Lane, Load]] = {}
        self._is_reachable = False

    async def watch(self) -> None:
        """Read the depths every second, for ever."""
        while True:
            try:
                self._loads = await self.read_loads()
                self._is_reachable = True
            except Unreachable:
                self._is_reachable = False
            await asyncio.sleep(READ_EVERY_S)

    async def read_loads(self) -> dict[str, dict[Lane, Load]]:
        """Return depth and consumers of each channel's lanes. Raises Unreachable."""
        topology = self._broker.topology
        return {
            method: {lane: await self._broker.load(topology.queue(method, lane)) for lane in Lane}
            for method in topology.methods
        }

    def count_consumers(self, method: str) -> float:
        """Return how many senders consume for a channel, as last read; NaN where that is not known."""
        loads = self._loads.get(method)
        return nan if loads is None or not self._is_reachable else count_consumers(loads)

    def count_waiting(self, method: str, lane: Lane | None = None) -> float:
        """Return how many messages wait for a channel, or in a lane of it, as last read; NaN where not known."""
        loads = self._loads.get(method)
        if loads is None or not self._is_reachable:
            return nan
        return sum(loads[live_lane].depth for live_lane in LIVE_LANES) if lane is None else loads[lane].depth

    def check(self, method: str, lane: Lane) -> None:
        """Raise Refusal where a request can't be accepted.

        broker_blocked: an alarm (memory, disk) blocks the broker; not_accepted: it is unreachable; overloaded: too many
        messages wait for the channel. For a code and for a test only its own lane counts, since it waits for no other.
        """
        if self._broker.blocked:
            raise Refusal("broker_blocked", retry_after_s=RETRY_AFTER_S)
        if not self._broker.ready:
            raise Refusal("not_accepted", retry_after_s=RETRY_AFTER_S)
        loads = self._loads.get(method, {})
        lanes = (lane,) if lane in {Lane.PRIORITY, Lane.TEST} else LIVE_LANES
        if sum(loads[counted].depth for counted in lanes if counted in loads) > self._max_depth:
            raise Refusal("overloaded", retry_after_s=RETRY_AFTER_S)


def count_consumers(loads: Mapping[Lane, Load]) -> int:
    """Return how many senders consume for a channel: the most consumers of one of its lanes."""
    return max(load.consumers for load in loads.values())
