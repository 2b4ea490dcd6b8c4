"""A throttle for lists and floods while codes are sent and the event loop lags (ADR 49).

A code has a dozen steps, in this process and in the servers, and waits at each of them where every core is busy. So the
lists of a sender, or a flood at the gateway, pause before each call. With an idle core nothing pauses.
"""

import asyncio
import math
from collections.abc import Callable

MEASURE_EVERY_S = 0.02
"""How often the lag of the loop is measured; each step of a code may wait as long as the lag."""

MAX_LAG_S = 0.001
"""The greatest lag without throttling: a dozen steps then wait together as long as a code takes on an idle machine."""

URGENT_S = 5.0
"""How long after a code the throttle is active."""

FIRST_PAUSE_S, MAX_PAUSE_S = 0.005, 0.3
"""The longest pause leaves a sender's lists some twenty calls a second, and a flood at the gateway some two hundred
requests, whatever makes the loop lag."""

GROWTH, DECAY = 1.5, 0.99
"""For each measurement: a lagging loop is relieved at once, and 1.4 s without lag halve the pause. With a faster decay
the throttled work returns as one wave (ADR 49)."""


class LagThrottle:
    """Delays a call of a list, or a request of a flood, by `pause_s` at most, usually 0."""

    def __init__(self, clock: Callable[[], float], at_once: int) -> None:
        """`at_once` calls pause concurrently; they resume one after the other, not all at once."""
        self.pause_s = 0.0
        self._clock = clock
        self._at_once = at_once
        self._last_turn_at = -math.inf
        self._urgent_until = 0.0
        self._has_codes = asyncio.Event()

    def record_code(self) -> None:
        """Record that a code is being sent."""
        self._urgent_until = self._clock() + URGENT_S
        self._has_codes.set()

    async def throttle(self) -> None:
        """Wait for the next turn; `at_once` turns fill a pause."""
        now = self._clock()
        turn_at = max(now, self._last_turn_at) + self.pause_s / self._at_once
        self._last_turn_at = min(turn_at, now + self.pause_s)
        await asyncio.sleep(self._last_turn_at - now)

    async def watch(self) -> None:
        """Measure the lag of the loop while codes are sent, for ever."""
        while True:
            await self._has_codes.wait()
            while (asleep_at := self._clock()) < self._urgent_until:
                await asyncio.sleep(MEASURE_EVERY_S)
                self.adjust(self._clock() - asleep_at - MEASURE_EVERY_S)
            self.pause_s = 0.0
            self._has_codes.clear()

    def adjust(self, lag_s: float) -> None:
        """Lengthen the pause where the loop lagged, shorten it where it did not."""
        if lag_s > MAX_LAG_S:
            self.pause_s = min(MAX_PAUSE_S, max(FIRST_PAUSE_S, self.pause_s * GROWTH))
        else:
            self.pause_s = self.pause_s * DECAY if self.pause_s > FIRST_PAUSE_S else 0.0
