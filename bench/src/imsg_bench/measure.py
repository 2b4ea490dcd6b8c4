"""What a measurement is, and what it is given."""

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

    @contextmanager
    def deployment(self) -> Iterator[Deployment]:
        """Yield a deployment on empty servers, and end all its processes."""
        with ExitStack() as stack:
            yield Deployment(stack, self.servers)


class Measurement(Protocol):
    """A module of `measures`."""

    KEY: str
    TITLE: str

    def measure(self, run: Run) -> Result:
        """Measure, and return the result."""
