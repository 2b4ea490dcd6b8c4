"""How what can wait holds back while codes are about and the machine has no time left: it pauses before its next step.

On a machine with a core to spare nothing pauses. Where every core is busy a code waits for one at each of its dozen
steps, in this process and in the servers', and most of what keeps them busy may be what nobody waits for: the lists of
a sender, and at the gateway the requests of whoever floods it.
"""

import asyncio
import math
from collections.abc import Callable

LOOK_S = 0.02
"""How often the loop is looked at: as late as this look comes, so long may each step of a code wait."""

LATE_S = 0.001
"""What a code's dozen steps may wait each before others hold back: together what an idle machine takes for the code."""

URGENT_S = 5.0
"""How long after a code others still hold back."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.3
"""The longest leaves a sender's lists some twenty calls a second, and a flood at the gateway some two hundred requests,
whatever makes the loop late."""

GROWTH, DECAY = 1.5, 0.99
"""From look to look: a late loop is relieved at once, and 1.4 s in time halve the pause. With a shorter memory whoever
held back comes back as one wave (ADR 49)."""


class LagThrottle:
    """What a call of a list, or a request of a flood, waits before it begins: `pause_s` at most, mostly 0."""

    def __init__(self, clock: Callable[[], float], at_once: int) -> None:
        """`at_once` pause side by side; they go on one after the other, not as a wave."""
        self.pause_s = 0.0
        self._clock = clock
        self._at_once = at_once
        self._last_turn_at = -math.inf
        self._urgent_until = 0.0
        self._has_codes = asyncio.Event()

    def note_code(self) -> None:
        """Note that somebody waits for a code."""
        self._urgent_until = self._clock() + URGENT_S
        self._has_codes.set()

    async def throttle(self) -> None:
        """Wait for the next turn: `at_once` of them fill a pause."""
        now = self._clock()
        turn_at = max(now, self._last_turn_at) + self.pause_s / self._at_once
        self._last_turn_at = min(turn_at, now + self.pause_s)
        await asyncio.sleep(self._last_turn_at - now)

    async def watch(self) -> None:
        """Look at how late the loop is while there are codes, for ever."""
        while True:
            await self._has_codes.wait()
            while (asleep_at := self._clock()) < self._urgent_until:
                await asyncio.sleep(LOOK_S)
                self.judge(self._clock() - asleep_at - LOOK_S)
            self.pause_s = 0.0
            self._has_codes.clear()

    def judge(self, late_s: float) -> None:
        """Pause longer where the loop was late, and less where it was not."""
        if late_s > LATE_S:
            self.pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, self.pause_s * GROWTH))
        else:
            self.pause_s = self.pause_s * DECAY if self.pause_s > FIRST_PAUSE_S else 0.0
