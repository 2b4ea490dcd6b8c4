"""The folder of the tests' files: in memory if there is room.

Every store here syncs to the disk before it answers, as promised, and a run waited for that a hundred thousand times.
What a killed process has written outlives it in memory as well as on a disk, so the tests see no difference. The full
run of fault tests and the measurements stay on the disk.
"""

import os
from pathlib import Path

VARIABLE = "TEST_SCRATCH"
"""Names another folder, such as `/tmp`."""

DISK = "/tmp"  # noqa: S108  each run makes folders of its own there
MEMORY = Path("/dev/shm")  # noqa: S108  Linux' tmpfs; elsewhere there is none

ROOM_BYTES = 4 * 1024**3
"""Of the folder, and of the machine's memory: two runs side by side stay below half of it."""


def choose() -> str:
    """Choose the folder."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        return DISK
    mounted = os.statvfs(MEMORY)
    room = min(mounted.f_bavail * mounted.f_frsize, _memory_bytes())
    may_execute = not mounted.f_flag & os.ST_NOEXEC
    return str(MEMORY) if room >= ROOM_BYTES and may_execute else DISK


def folder() -> str:
    """Return the folder that the run has chosen; outside a run of tests the disk."""
    return os.environ.get(VARIABLE) or DISK


def _memory_bytes() -> int:
    """Return the available memory (Linux' estimate)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, kib = line.partition(":")
        if name == "MemAvailable":
            return int(kib.split()[0]) * 1024
    return 0
