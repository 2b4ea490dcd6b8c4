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
        self._depths: Mapping[str, int] = {}
        self._is_reachable = False

    async def watch(self) -> None:
        """Look every second, for ever."""
        while True:
            try:
                self._depths = await self.depths()
                self._is_reachable = True
            except Unreachable:
                self._is_reachable = False
            await asyncio.sleep(LOOK_EVERY_S)

    async def depths(self) -> dict[str, int]:
        """Count what waits for each channel, both lanes, now. Raises Unreachable."""
        topology = self._broker.topology
        depths = {}
        for method in topology.methods:
            depths[method] = sum([await self._broker.depth(topology.queue(method, lane)) for lane in Lane])
        return depths

    def waiting(self, method: str) -> float:
        """Say how much waits for a channel, as last seen; not a number where that is not known."""
        return self._depths.get(method, nan) if self._is_reachable else nan

    def check(self, method: str) -> None:
        """Raise Refusal overloaded where no more may be taken for a channel, not_accepted where the broker is away."""
        if self._depths.get(method, 0) > self._max_depth:
            raise Refusal("overloaded", retry_after_s=RETRY_AFTER_S)
        if not self._broker.ready:
            # It answers questions and takes nothing: an alarm (memory, disk) blocks it.
            raise Refusal("overloaded" if self._is_reachable else "not_accepted", retry_after_s=RETRY_AFTER_S)
