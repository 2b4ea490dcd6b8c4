"""The people of a request with a fallback: which leg each is at, and which one begins next.

The rules are those of docs/fallback.md. Nothing here waits or calls.
"""

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from imsg_contract.wire import Status, Until

WAITING = 0
"""In place of a time: the leg is to begin."""

LEAVING = -1
"""It is to begin once what still waits of the leg before is cancelled.

A time below it, negated: since then the leg is being published, and may have been.
"""

AGAIN_MS = 30_000
"""How long the publish of a leg may take; then it is repeated."""


class State(IntEnum):
    """Whether a person was reached."""

    OPEN = 0
    REACHED = 1
    NOT_REACHED = 2
    STOPPED = 3
    """No further leg begins; what is unused is not refunded yet, so that it counts as open."""


@dataclass(frozen=True, slots=True)
class LegRule:
    """What the machine knows of a leg."""

    until: Until
    after_s: int
    """How long after the release of the leg before; of the first leg 0."""
    people: Collection[int]
    """Who has an address of its method."""
    is_cancelled: bool = False
    """It was cancelled by its own id: neither it nor a later leg begins for another person."""


class Counts(NamedTuple):
    """How many people there are in each state."""

    reached: int
    not_reached: int
    open: int


class People:
    """One request's people, by their numbers."""

    def __init__(self, rules: Sequence[LegRule], legs: bytearray, states: bytearray, since_ms: "array[int]") -> None:
        """`since_ms` is when the leg of a person was released; WAITING, LEAVING: it is not yet."""
        self._rules = rules
        self._legs = legs
        self._states = states
        self._since = since_ms
        self.passed: list[tuple[int, int]] = []
        """The legs, and for whom, that were passed by since this was read, for want of an address."""

    @classmethod
    def begin(cls, rules: Sequence[LegRule], count: int) -> "People":
        """Make the people of a request that is not released yet: all wait for the first leg."""
        return cls(rules, bytearray(count), bytearray(count), array("q", bytes(8 * count)))

    @classmethod
    def decode(cls, rules: Sequence[LegRule], blob: bytes) -> "People":
        """Read what `encode` wrote."""
        count = len(blob) // 10
        since = array("q", blob[2 * count :])
        return cls(rules, bytearray(blob[:count]), bytearray(blob[count : 2 * count]), since)

    def encode(self) -> bytes:
        """Write ten bytes a person."""
        return bytes(self._legs) + bytes(self._states) + self._since.tobytes()

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self._states)

    @property
    def counts(self) -> Counts:
        """How many people there are in each state."""
        reached, not_reached = self._states.count(State.REACHED), self._states.count(State.NOT_REACHED)
        return Counts(reached, not_reached, len(self._states) - reached - not_reached)

    def release(self, leg: int, people: Collection[int], now_ms: int) -> None:
        """Record that a leg of people was handed to its channel."""
        for n in people:
            if self._legs[n] == leg and self._states[n] == State.OPEN and self._since[n] <= 0:
                self._since[n] = now_ms

    def mark(self, leg: int, people: Collection[int], now_ms: int) -> None:
        """Record that a leg of people is about to be published: from here on a cancel asks the claims."""
        for n in people:
            if self._legs[n] == leg and self._since[n] == WAITING:
                self._since[n] = -now_ms

    def record_outcome(self, leg: int, n: int, status: Status) -> None:
        """Record the outcome of a person's message of a leg; it may come late, twice, or after a later leg began."""
        if not (0 <= n < len(self._legs) and 0 <= leg < len(self._rules)):
            return
        until = self._rules[leg].until
        if status is Status.DELIVERED or status.value == until:
            self._states[n] = State.REACHED
            return
        if self._states[n] != State.OPEN or leg != self._legs[n]:
            return
        if status in (Status.FAILED, Status.EXPIRED) or (status is Status.UNCERTAIN and until == "delivered"):
            self._go_on(n)
            self.begin_next([n])
        elif status in (Status.CANCELLED, Status.UNCERTAIN):
            self._states[n] = State.NOT_REACHED

    def advance(self, now_ms: int) -> None:
        """Let those whose time has come leave their leg; the next one begins once `begin_next` is called."""
        for n in range(len(self._legs)):
            if self._since[n] > 0 and self._is_due(n, now_ms):
                self._go_on(n)

    def repeat(self, now_ms: int) -> None:
        """Let a leg begin again whose publish has taken too long."""
        for n in range(len(self._legs)):
            if self._since[n] < LEAVING and self._is_due(n, now_ms):
                self._since[n] = WAITING

    def list_leaving(self) -> list[tuple[int, int]]:
        """Return which legs are left, and by whom."""
        return [
            (self._find_left(n), n)
            for n in range(len(self._legs))
            if self._states[n] == State.OPEN and self._since[n] == LEAVING
        ]

    def begin_next(self, people: Collection[int]) -> None:
        """Let the next leg begin for those who left one."""
        for n in people:
            if self._since[n] == LEAVING:
                self._since[n] = WAITING
                self.passed += [(at, n) for at in range(self._find_left(n) + 1, self._legs[n])]

    def list_ended(self) -> set[int]:
        """Return who was reached or given up."""
        return {n for n, state in enumerate(self._states) if state in (State.REACHED, State.NOT_REACHED)}

    def end(self) -> None:
        """Give up the people who were not reached."""
        for n in range(len(self._states)):
            if self._states[n] in (State.OPEN, State.STOPPED):
                self._states[n] = State.NOT_REACHED

    def stop(self, people: Collection[int]) -> list[tuple[int, int]]:
        """Begin no further leg for people; return which further legs were begun already, and for whom."""
        stopped = [n for n in people if n < len(self._states) and self._states[n] == State.OPEN]
        for n in stopped:
            self._states[n] = State.STOPPED
        return [(self._legs[n], n) for n in stopped if self._legs[n] > 0 and self._has_begun(n)]

    def end_stopped(self) -> None:
        """Give up the people who were stopped."""
        for n, state in enumerate(self._states):
            if state == State.STOPPED:
                self._states[n] = State.NOT_REACHED

    def end_cancelled(self) -> None:
        """Give up the people who were about to begin a cancelled leg."""
        for n, leg in enumerate(self._legs):
            if self._states[n] == State.OPEN and self._rules[leg].is_cancelled and not self._has_begun(n):
                self._states[n] = State.NOT_REACHED

    def list_begun(self, leg: int) -> list[int]:
        """Return who is at a leg that was begun for them."""
        return [n for n, at in enumerate(self._legs) if at == leg and self._is_open(n) and self._has_begun(n)]

    def list_unbegun(self, leg: int) -> list[int]:
        """Return for whom a leg may begin yet."""
        return [
            n
            for n, at in enumerate(self._legs)
            if self._is_open(n)
            and n in self._rules[leg].people
            and (at < leg or (at == leg and not self._has_begun(n)))
        ]

    def list_waiting(self, leg: int) -> list[int]:
        """Return for whom a leg is to begin."""
        return [
            n for n, at in enumerate(self._legs) if at == leg and self._states[n] == State.OPEN and not self._since[n]
        ]

    def list_unused(self, leg: int) -> list[int]:
        """Return for whom a leg never begins, though they have an address of its method."""
        return [
            n
            for n, at in enumerate(self._legs)
            if self._states[n] in (State.REACHED, State.NOT_REACHED)
            and n in self._rules[leg].people
            and (at < leg or (at == leg and not self._has_begun(n)))
        ]

    def find_due_ms(self) -> int | None:
        """Return when there is something to do because of the time; None: never."""
        if State.STOPPED in self._states:
            return 0
        return min((due for n in range(len(self._legs)) if (due := self._find_due(n)) is not None), default=None)

    def _find_due(self, n: int) -> int | None:
        if self._states[n] != State.OPEN or not self._has_begun(n):
            return None
        if self._since[n] < LEAVING:
            return None if self._rules[self._legs[n]].is_cancelled else AGAIN_MS - self._since[n]
        leg = self._find_next(n)
        if leg is None or self._rules[leg].is_cancelled:
            return None
        return self._since[n] + self._rules[self._legs[n] + 1].after_s * 1_000

    def _is_due(self, n: int, now_ms: int) -> bool:
        return (due := self._find_due(n)) is not None and due <= now_ms

    def _is_open(self, n: int) -> bool:
        return self._states[n] == State.OPEN

    def _has_begun(self, n: int) -> bool:
        return self._since[n] > 0 or self._since[n] < LEAVING

    def _find_next(self, n: int) -> int | None:
        """Return the next leg for which a person has an address."""
        return next((leg for leg in range(self._legs[n] + 1, len(self._rules)) if n in self._rules[leg].people), None)

    def _find_left(self, n: int) -> int:
        """Return the leg that came before the one that a person is at."""
        return max((leg for leg in range(self._legs[n]) if n in self._rules[leg].people), default=0)

    def _go_on(self, n: int) -> None:
        leg = self._find_next(n)
        if leg is None or self._rules[leg].is_cancelled:
            self.passed += [(at, n) for at in range(self._legs[n] + 1, len(self._rules) if leg is None else leg)]
            self._states[n] = State.NOT_REACHED
        else:
            self._legs[n], self._since[n] = leg, LEAVING
