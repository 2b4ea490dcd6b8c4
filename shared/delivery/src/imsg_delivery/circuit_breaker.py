"""A circuit breaker: after repeated failures leave a provider alone for a while, then try it once."""

from collections.abc import Callable


class Breaker:
    """Closed until `threshold` failures in a row; then open for `cool_off_s`; then one try decides.

    Ask `claim_try` right before each try, and note what came of it by `note_success` or `note_failure`: once the
    cool-off is over, asking takes the one try, and everybody else is blocked for another cool-off or until it is told.
    """

    def __init__(self, threshold: int, cool_off_s: float, clock: Callable[[], float]) -> None:
        self._threshold = threshold
        self._cool_off_s = cool_off_s
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    def claim_try(self) -> float:
        """Return 0.0 where a try may be made now, else for how many seconds to leave the provider alone."""
        if self._failures < self._threshold:
            return 0.0
        now = self._clock()
        if now < self._open_until:
            return self._open_until - now
        self._open_until = now + self._cool_off_s
        return 0.0

    def note_success(self) -> None:
        """Close it."""
        self._failures = 0

    def note_failure(self) -> None:
        """Count one failure; the one that reaches the threshold, and the failed try after a cool-off, open it."""
        self._failures += 1
        if self._failures >= self._threshold:
            self._open_until = self._clock() + self._cool_off_s
