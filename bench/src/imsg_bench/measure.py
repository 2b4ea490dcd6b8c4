"""What a measurement is, and what it is given."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imsg_bench.deployment import Deployment
from imsg_bench.progress import Progress
from imsg_bench.result import Result
from imsg_bench.scale import Scale
from imsg_bench.servers import Servers


@dataclass(frozen=True, slots=True)
class Run:
    """What every measurement of a run shares."""

    scale: Scale
    servers: Servers
    progress: Progress
    peer_python: Path | None
    """The Python of the environment that has Celery; None where it was not set up."""
    results: dict[str, Result]
    """The results so far, by key: some measurements use those of others."""
    lasting: Deployment | None = None
    """The one deployment of all measurements, whose services stay; None where each has a deployment of its own."""

    def pause(self, seconds: float) -> None:
        """Wait, so that the servers are idle."""
        time.sleep(seconds * self.scale.pauses)

    @contextmanager
    def deployment(self, *, may_last: bool = True) -> Iterator[Deployment]:
        """Yield a deployment, on empty servers unless it lasts, and end the processes that were started in it."""
        with ExitStack() as stack:
            deployment = (self.lasting if may_last else None) or Deployment(stack, self.servers)
            with deployment.opened():
                yield deployment


class Measurement(Protocol):
    """A module of `measures`."""

    KEY: str
    TITLE: str

    def measure(self, run: Run) -> Result:
        """Measure, and return the result."""
