"""What a measurement is, and the room it is given."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imsg_bench.ground import Ground
from imsg_bench.progress import Progress
from imsg_bench.result import Result
from imsg_bench.scale import Scale
from imsg_bench.site import Site


@dataclass(frozen=True, slots=True)
class Run:
    """What every measurement of a run shares."""

    scale: Scale
    ground: Ground
    progress: Progress
    peer_python: Path | None
    """The Python of the environment that has Celery; None where it was not set up."""
    found: dict[str, Result]
    """What was found so far, by key: some measurements go by others'."""

    @contextmanager
    def site(self) -> Iterator[Site]:
        """Give a measurement empty servers and end all that it starts on them."""
        with ExitStack() as stack:
            yield Site(stack, self.ground)


class Measurement(Protocol):
    """A module of `measures`."""

    KEY: str
    TITLE: str

    def measure(self, run: Run) -> Result:
        """Measure, and return what was found."""
