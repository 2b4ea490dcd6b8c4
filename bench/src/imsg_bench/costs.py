"""The processor time and memory of processes, read from /proc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imsg_testing.processes import descendants

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def read_used_s(pid: int) -> float:
    """Return the processor seconds that a process and what descends from it have used so far."""
    return sum(_read_used_s(process) for process in (pid, *descendants(pid)))


def _read_used_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND  # utime and stime, the 14th and 15th of proc(5)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and what descends from it, in MiB."""
    return sum(_resident_mib(process) for process in (pid, *descendants(pid)))


def _resident_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    kib = next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
    return kib / 1024


def proportional_mib(pid: int) -> float:
    """Return the same with every page divided by the number of processes that have it (Pss), in MiB."""
    return sum(_proportional_mib(process) for process in (pid, *descendants(pid)))


def _proportional_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024


@dataclass(frozen=True, slots=True)
class Meter:
    """Processor time of some processes since it was begun."""

    pids: Mapping[str, int]
    begun: Mapping[str, float]

    @classmethod
    def begin(cls, **pids: int) -> "Meter":
        """Begin with processes by name."""
        return cls(pids, {name: read_used_s(pid) for name, pid in pids.items()})

    def read_s(self) -> dict[str, float]:
        """Return what each has used since."""
        return {name: read_used_s(pid) - self.begun[name] for name, pid in self.pids.items()}

    def per_unit_us(self, units: float) -> dict[str, float]:
        """Return what each has used for one unit of work, in µs."""
        return {name: seconds / max(units, 1) * 1e6 for name, seconds in self.read_s().items()}
