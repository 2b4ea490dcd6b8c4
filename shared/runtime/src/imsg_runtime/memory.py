"""Free memory of the C library, returned to the system."""

import contextlib
import ctypes


def release_memory() -> None:
    """Return free memory to the system: the C library keeps what is not at the end of its heap.

    It is 10 MiB after the imports of Python 3.13 (docs/performance.md), and most of an inbox that was emptied.
    Takes milliseconds.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
