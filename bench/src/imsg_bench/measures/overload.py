"""What still gets through at twice the capacity.

Single messages by an open loop (requests leave by a schedule, whatever became of those before, over as many
connections as wait) at twice what the same processes take; everything runs, history too.
Accepting: capacity is what 64 connections that are always busy get accepted, from the same generator (it costs more
than wrk, on the same cores); goodput is accepted requests a second at twice that.
Delivering: capacity is the highest rate of a rising open loop of which nine tenths are delivered as fast as they are
asked for; goodput is mails a second at the mail server while twice that is asked for. What is refused (10012) counts
for nothing, and does no harm.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from imsg_bench import load
from imsg_bench.counts import Counts
from imsg_bench.deployment import Deployment
from imsg_bench.filling import count_ready, wait_until
from imsg_bench.load import LoadError
from imsg_bench.measure import Run
from imsg_bench.measures.mails import BULK, HISTORY, SINGLE
from imsg_bench.result import Result, Series

KEY = "N"
TITLE = "At twice the capacity"

PATIENCE_S = 300.0
CONNECTIONS = 512
"""Of the open loop: the most that may wait for an answer at once."""

BUSY = 1.5
"""How much more is asked for than a closed loop gets, so that no connection is ever idle."""

KEPT_UP = 0.9
FIRST_RATE, RISE = 300.0, 1.25
"""Where the search for what is delivered begins, and its steps."""

REST_S = 1.0


def measure(run: Run) -> Result:
    """Measure N."""
    with run.deployment() as deployment:
        deployment.auth()
        deployment.history()
        deployment.catalog()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        overload = Overload(run, deployment, f"{gateway.url}/api/send", counts)
        accepting = overload.accepting()
        delivering = overload.delivering()
    return Result(
        KEY,
        TITLE,
        (
            Series("accepted at 2 × capacity ÷ capacity", "", (accepting.share,), at_least=KEPT_UP),
            Series("delivered at 2 × capacity ÷ capacity", "", (delivering.share,), at_least=KEPT_UP),
            Series("accepting, capacity", "1/s", (accepting.capacity,)),
            Series("accepting, goodput", "1/s", (accepting.goodput,)),
            Series("delivering, capacity", "1/s", (delivering.capacity,)),
            Series("delivering, goodput", "1/s", (delivering.goodput,)),
        ),
        notes=tuple(
            f"{load.name}: {load.refused:,} of {load.offered:,} refused at twice the capacity."
            for load in (accepting, delivering)
        ),
    )


@dataclass(frozen=True, slots=True)
class OverloadResult:
    """What was done of what could be done while twice as much was asked for."""

    name: str
    capacity: float
    goodput: float
    offered: int
    refused: int

    @property
    def share(self) -> float:
        """Of the capacity."""
        return self.goodput / self.capacity


def find_capacity(deliver: Callable[[float], float]) -> float:
    """Raise the rate until less than nine tenths are delivered; return the highest rate delivered before that.

    Where the first rate is too high already, return what was delivered of it.
    """
    capacity = 0.0
    for step in count():
        rate = FIRST_RATE * RISE**step
        delivered = deliver(rate)
        if delivered < KEPT_UP * rate:
            return max(capacity, delivered)
        capacity = delivered
    raise AssertionError("the loop has no end")


class Overload:
    """Open loops at a deployment where everything runs."""

    def __init__(self, run: Run, deployment: Deployment, url: str, counts: Counts) -> None:
        self._run = run
        self._deployment = deployment
        self._url = url
        self._counts = counts
        self._body: Path = deployment.body()
        self._seconds = max(2.0 * run.scale.pauses, run.scale.turn_s)

    def accepting(self) -> OverloadResult:
        """Offer twice the rate that is accepted."""
        load.run(self._url, self._body, self._run.scale.warm_s)
        rate = load.run(self._url, self._body, self._seconds).rate
        self._settle()
        # By the same generator, which costs more than wrk: as many connections as A's, always busy.
        capacity = self._ask(BUSY * rate, load.CONNECTIONS).accepted_rate
        self._settle()
        load_result = self._ask(2 * capacity)
        self._settle()
        result = OverloadResult(
            "accepting", capacity, load_result.accepted_rate, load_result.offered, load_result.refused
        )
        self._run.progress.show(f"{KEY}  accepting: {capacity:.0f}/s, at twice that {result.goodput:.0f}/s")
        return result

    def delivering(self) -> OverloadResult:
        """Offer twice the rate that is delivered."""
        capacity = find_capacity(self._deliver)
        load_result = self._ask(2 * capacity)
        self._settle()
        result = OverloadResult(
            "delivering", capacity, load_result.delivered_rate, load_result.offered, load_result.refused
        )
        self._run.progress.show(f"{KEY}  delivering: {capacity:.0f}/s, at twice that {result.goodput:.0f}/s")
        return result

    def _deliver(self, rate: float) -> float:
        delivered = self._ask(rate).delivered_rate
        self._settle()
        return delivered

    def _ask(self, rate: float, connections: int = CONNECTIONS) -> "LoadResult":
        """Offer a rate from a process of its own; look at what has arrived when the last request is due."""
        self._counts.reset()
        words = (self._url, str(self._body), str(rate), str(self._seconds), str(connections))
        command = [sys.executable, "-m", "imsg_bench.openloop", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: self._counts.count > 0 or process.poll() is not None, PATIENCE_S, every_s=0.002)
            begun, known = time.monotonic(), self._counts.count
            time.sleep(self._seconds)
            delivered = (self._counts.count - known) / (time.monotonic() - begun)
            output, errors = process.communicate(timeout=120)
        if process.returncode != 0:
            raise LoadError(f"{self._url}: {errors[-500:]}")
        read = json.loads(output)
        offered = len(read["latencies_ms"])
        return LoadResult(offered, read["refused"], read["in_time"] / self._seconds, delivered)

    def _settle(self) -> None:
        """Wait until nothing waits any more."""
        url = self._deployment.share.plain_broker_url
        wait_until(lambda: count_ready(url, SINGLE, BULK, HISTORY) == 0, PATIENCE_S)
        self._run.pause(REST_S)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What became of an open loop."""

    offered: int
    refused: int
    accepted_rate: float
    """Accepted a second while requests left."""
    delivered_rate: float
    """Mails a second while requests left."""
