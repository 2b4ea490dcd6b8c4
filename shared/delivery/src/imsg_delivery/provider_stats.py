"""Statistics of a provider in the last hour: counts, durations of calls, its blocks and its last error."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from imsg_contract.mentions import find_mentions
from imsg_contract.results import Again, Blocked, Concern, Refused, Result, Sent, Unknown

SLOT_S = 300.0
SLOTS = 12
"""An hour in slots: what is older than the oldest is forgotten."""

BOUNDS_S = tuple(0.001 * 1.25**step for step in range(61))
"""Upper ends of the classes in which calls are counted by their time: from 1 ms to ten minutes, a quarter apart."""

GRACE_S = 2.0
"""How long a block is remembered past its end: the next try decides whether it goes on, and must not blink between."""

MAX_BLOCKS = 64
MAX_CHARACTERS = 300
"""How many blocks, and how many characters of a provider's text, are kept."""

DIGITS_OF_A_NUMBER = 7


@dataclass(slots=True)
class _Slot:
    number: int
    sent: int = 0
    failed: int = 0
    calls: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))


@dataclass(slots=True)
class Block:
    """A block: its concern, its scope and the reason. Times are the clock's, in seconds."""

    concerns: Concern
    scope: str
    code: str
    detail: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class LastError:
    """A provider's last failure or block."""

    concerns: Concern | None
    code: str
    detail: str
    at: float


class ProviderStats:
    """Counts calls and results. Times are the clock's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.last_error: LastError | None = None
        self._clock = clock
        self._slots: deque[_Slot] = deque(maxlen=SLOTS)
        self._blocks: dict[str, Block] = {}

    def record_call(self, took_s: float) -> None:
        """Count a call."""
        self._slot().calls[bisect_left(BOUNDS_S, took_s)] += 1

    def record(self, result: Result, took_s: float | None = None) -> None:
        """Count a message's result, and its call where `took_s` is given. A block is no failure: nothing was tried."""
        if took_s is not None:
            self.record_call(took_s)
        match result:
            case Sent():
                self._slot().sent += 1
                if self._blocks:
                    self._blocks = {
                        scope: block for scope, block in self._blocks.items() if block.concerns not in _WHOLE
                    }
            case Blocked():
                self._record_block(result)
            case Refused() | Again() | Unknown():
                if not (isinstance(result, Again) and result.is_paced):
                    self._slot().failed += 1
                self._record_error(result)

    def clear(self, scope: str) -> None:
        """Remove a block that is over."""
        self._blocks.pop(scope, None)

    @property
    def blocks(self) -> list[Block]:
        """The blocks that are open, the widest first."""
        now = self._clock()
        self._blocks = {scope: block for scope, block in self._blocks.items() if block.until + GRACE_S > now}
        return sorted(self._blocks.values(), key=lambda block: (block.concerns not in _WHOLE, block.since))

    def counts(self) -> tuple[int, int]:
        """Return how many were sent and failed."""
        slots = self._recent()
        return sum(slot.sent for slot in slots), sum(slot.failed for slot in slots)

    def p95_s(self) -> float | None:
        """Return what 95 of 100 calls took at most, to a quarter; None where there was none."""
        calls = [sum(counted) for counted in zip(*(slot.calls for slot in self._recent()), strict=True)]
        left = 0.05 * sum(calls)
        if not calls or not left:
            return None
        for place in range(len(calls) - 1, -1, -1):
            left -= calls[place]
            if left < 0:
                return BOUNDS_S[min(place, len(BOUNDS_S) - 1)]
        return BOUNDS_S[0]

    def _record_block(self, result: Blocked) -> None:
        now = self._clock()
        concerns = result.concerns or "provider"
        known = self._blocks.get(result.scope)
        since = now if known is None or known.until + GRACE_S < now else known.since
        words = hide_personal(result.detail)
        self._blocks[result.scope] = Block(concerns, result.scope, result.code, words, since, now + result.after_s)
        if len(self._blocks) > MAX_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        if known is None:
            self._record_error(result)

    def _record_error(self, result: Refused | Again | Unknown | Blocked) -> None:
        self.last_error = LastError(result.concerns, result.code, hide_personal(result.detail), self._clock())

    def _slot(self) -> _Slot:
        number = int(self._clock() // SLOT_S)
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Slot(number))
        return self._slots[-1]

    def _recent(self) -> list[_Slot]:
        oldest = int(self._clock() // SLOT_S) - SLOTS
        return [slot for slot in self._slots if slot.number > oldest]


def hide_personal(words: str) -> str:
    """Replace words that may be a person's address or number by `…`: statistics outlive the messages."""
    kept = words[:MAX_CHARACTERS].split()
    return " ".join("…" if _may_be_personal(word) else word for word in kept)


def _may_be_personal(word: str) -> bool:
    bare = word.strip(_AROUND)
    is_number = bare[-1:].isdigit() and sum(map(str.isdigit, bare)) >= DIGITS_OF_A_NUMBER
    return "@" in bare or is_number or bool(find_mentions(bare))


_WHOLE = ("account", "provider")
_AROUND = ".,:;!?()[]<>{}\"'，。：；（）【】「」"
