"""While modules load, Ctrl-C ends the process at once: nothing is open yet, and a traceback helps nobody."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Leave SIGINT to the system for as long as the context lasts."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
