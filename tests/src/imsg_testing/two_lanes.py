"""The topology as services of before there were three lanes declare it (39c43ba and later): `single` and `bulk`."""

from collections.abc import Iterator
from dataclasses import dataclass

from imsg_contract.topology import FORMER_NORMAL, Lane, Topology, job_key


@dataclass(frozen=True, slots=True)
class TwoLanes(Topology):
    """Theirs, beside a topology of ours with the same prefix."""

    def work_queues(self) -> Iterator[tuple[str, str]]:
        """Yield (queue, the key bound to it) for every channel and lane."""
        for method in self.methods:
            yield self.former(method), former_key(method)
            yield self.queue(method, Lane.BULK), job_key(method, Lane.BULK)

    def is_former(self, queue: str) -> bool:
        """Know of nothing before."""
        del queue
        return False


def before(topology: Topology) -> TwoLanes:
    """Say how a service of before sees the same broker."""
    return TwoLanes(topology.prefix, methods=topology.methods, steps_s=topology.steps_s, asking_s=topology.asking_s)


def former_key(method: str) -> str:
    """Make the key under which its new single messages pass the exchange."""
    return f"job.{method}.{FORMER_NORMAL}"
