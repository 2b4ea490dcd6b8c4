"""Modules that take long to load: Ctrl-C ends the process at once, and a message says why it waits."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

SILENT_S = 1.0


@contextmanager
def loading(report: Callable[[], None] | None = None, *, silent_s: float = SILENT_S) -> Iterator[None]:
    """Restore SIGINT's default action while the context is open: no traceback. Call `report` after `silent_s`."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    timer = Timer(silent_s, report or (lambda: None))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
