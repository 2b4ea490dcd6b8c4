"""A few numbers that two processes share through a file in memory: what a sink has taken, and when."""

import mmap
import struct
from pathlib import Path
from time import monotonic

_FORM = struct.Struct("=qdd")


class Counts:
    """How many came, when the first, when the last (CLOCK_MONOTONIC, the same for all processes of a machine)."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_FORM.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FORM.size)

    def add(self, count: int = 1) -> None:
        """Count what has just come; one process counts."""
        now = monotonic()
        known, first, _ = self.read()
        _FORM.pack_into(self._memory, 0, known + count, first or now, now)

    def read(self) -> tuple[int, float, float]:
        """Return count, time of the first and of the last."""
        count, first, last = _FORM.unpack_from(self._memory)
        return int(count), float(first), float(last)

    def reset(self) -> None:
        """Begin anew; what comes meanwhile may be lost, so nothing should."""
        _FORM.pack_into(self._memory, 0, 0, 0.0, 0.0)

    @property
    def count(self) -> int:
        """How many came."""
        return self.read()[0]

    @property
    def rate(self) -> float:
        """How many came in a second, from the first to the last."""
        count, first, last = self.read()
        return (count - 1) / (last - first) if last > first else 0.0
