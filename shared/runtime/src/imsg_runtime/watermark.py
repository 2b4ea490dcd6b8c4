"""Whether a queue has been read past a moment: what was published before it has then been taken."""

from collections.abc import Callable

OUT_OF_ORDER_MS = 60_000
"""By so much a queue may be out of order: clocks of those who publish, and what was handed back."""

QUIET_MS = 5_000
"""Who has waited so long for the next and got none has read all there was."""


class Watermark:
    """What one consumer knows of its place in its queue. Times are Unix milliseconds."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._newest = 0.0
        self._waits_since: int | None = None

    def wait(self) -> None:
        """Note that the next is waited for, and all before it is kept."""
        self._waits_since = self._now_ms()

    def take(self, newest_ms: float = 0) -> None:
        """Note that something came, and once it is kept the newest time in it."""
        self._waits_since = None
        self._newest = max(self._newest, newest_ms)

    def is_past(self, moment_ms: int) -> bool:
        """Tell whether what was published before a moment has been taken."""
        if self._newest > moment_ms + OUT_OF_ORDER_MS:
            return True
        return self._waits_since is not None and self._now_ms() >= max(moment_ms, self._waits_since) + QUIET_MS
