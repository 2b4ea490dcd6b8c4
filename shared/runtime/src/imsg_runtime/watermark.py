"""A consumer's watermark: up to which time it has processed its queue."""

from collections.abc import Callable

OUT_OF_ORDER_MS = 60_000
"""How far a queue may be out of order, by publishers' clocks and redeliveries."""

QUIET_MS = 5_000
"""A consumer that has waited so long without a delivery has processed the whole queue."""


class Watermark:
    """The watermark of one consumer. Times are Unix milliseconds."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._newest = 0.0
        self._waits_since: int | None = None

    def record_wait(self) -> None:
        """Record that the consumer waits for a delivery, and has processed all before it."""
        self._waits_since = self._now_ms()

    def record_delivery(self, newest_ms: float = 0) -> None:
        """Record a delivery, and, once it is processed, the newest time in it."""
        self._waits_since = None
        self._newest = max(self._newest, newest_ms)

    def is_past(self, moment_ms: int) -> bool:
        """Return whether everything published before a time has been processed."""
        if self._newest > moment_ms + OUT_OF_ORDER_MS:
            return True
        return self._waits_since is not None and self._now_ms() >= max(moment_ms, self._waits_since) + QUIET_MS
