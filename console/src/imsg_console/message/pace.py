"""How long a page waits between two refreshes: short while something changes, longer while nothing does."""

from dataclasses import dataclass

FIRST_S = 2.0
MAX_S = 30.0
SLOWER = 1.6


@dataclass(slots=True)
class Pace:
    """The wait before the next refresh."""

    wait_s: float = FIRST_S

    def after(self, *, changed: bool, waiting: bool) -> float:
        """Return the wait after a refresh. `waiting`: a message in view is not settled yet."""
        longest_s = MAX_S / 3 if waiting else MAX_S
        self.wait_s = FIRST_S if changed else min(self.wait_s * SLOWER, longest_s)
        return self.wait_s

    def slow_down(self) -> float:
        """Return the wait after a refresh that failed."""
        self.wait_s = min(self.wait_s * 2, MAX_S)
        return self.wait_s
