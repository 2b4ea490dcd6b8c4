"""How many processes a load needs, from measured costs: stations in a row, each with workers and a cost a message.

A station is a kind of process (gateway, sender, broker …) with a number of workers, each of which does one thing at a
time and needs so many µs of a processor for it; all workers share the machine's cores.
`capacity` is arithmetic: the bottleneck station, or the cores together. `simulate` plays the messages one by
one through the stations and so shows also how long they wait; where the load stays below the capacity, both agree.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

SAFE = 0.6
"""How full a station may be on average: beyond it queues grow fast, and nothing is left for a burst or a lost node."""


@dataclass(frozen=True, slots=True)
class Station:
    """A kind of process: what a message costs it, and how many work side by side."""

    name: str
    cost_us: float
    workers: int = 1

    @property
    def max_rate(self) -> float:
        """Messages a second that its workers can do, each on a core of its own."""
        return self.workers * 1e6 / self.cost_us


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What became of messages that were played through."""

    rate: float
    """Messages a second that came out."""
    p50_ms: float
    p99_ms: float


def capacity(stations: Sequence[Station], cores: int) -> tuple[float, str]:
    """Return the messages a second that go through, and what limits them: a station's name, or `the cores`."""
    together = cores * 1e6 / sum(station.cost_us for station in stations)
    fullest = min(stations, key=lambda station: station.max_rate)
    return (together, "the cores") if together < fullest.max_rate else (fullest.max_rate, fullest.name)


def simulate(stations: Sequence[Station], rate: float, messages: int, random: Random) -> SimulationResult:
    """Send so many messages at a rate (exponential gaps and works) through the stations; cores are not shared here."""
    arrivals = []
    at = 0.0
    for _ in range(messages):
        at += random.expovariate(rate)
        arrivals.append(at)
    begun = list(arrivals)
    for station in stations:
        arrivals = _through(station, arrivals, random)
    took = sorted(end - begin for begin, end in zip(begun, arrivals, strict=True))
    last = max(arrivals)
    return SimulationResult(
        messages / (last - begun[0]), took[len(took) // 2] * 1e3, took[min(len(took) - 1, len(took) * 99 // 100)] * 1e3
    )


def _through(station: Station, arrivals: Sequence[float], random: Random) -> list[float]:
    """Return when each message ends, if each goes, in order of arrival, to the worker that is free first."""
    free = [0.0] * station.workers
    ends = [0.0] * len(arrivals)
    for number in sorted(range(len(arrivals)), key=arrivals.__getitem__):
        start = max(arrivals[number], heapq.heappop(free))
        ends[number] = start + random.expovariate(1e6 / station.cost_us)
        heapq.heappush(free, ends[number])
    return ends


def size(costs_us: Mapping[str, float], a_minute: float, safe: float = SAFE) -> dict[str, int]:
    """Return how many workers of each kind a load of so many messages a minute wants."""
    rate = a_minute / 60
    return {name: max(1, ceil(rate * cost / 1e6 / safe)) for name, cost in costs_us.items()}


def cores(costs_us: Mapping[str, float], a_minute: float, safe: float = SAFE) -> float:
    """Return how many cores a load wants in all."""
    return a_minute / 60 * sum(costs_us.values()) / 1e6 / safe
