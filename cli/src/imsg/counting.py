"""Counts on the terminal what takes longer than a second."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 1.0


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that adds to a count, which is shown on a terminal's standard error and removed at the end."""
    began, total, shown = time.monotonic(), 0, False

    def count(more: int) -> None:
        nonlocal total, shown
        total += more
        if sys.stderr.isatty() and time.monotonic() - began > PATIENCE_S:
            shown = True
            print(f"\r{what}: {total:,}", end="", file=sys.stderr, flush=True)

    try:
        yield count
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
