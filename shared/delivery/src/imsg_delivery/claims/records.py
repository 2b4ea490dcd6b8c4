"""What the ledger says of a recipient and is told of it, and how both are written in the hash."""

import json
from dataclasses import dataclass
from typing import Any

from imsg_contract.wire import RANKS, Outcome


@dataclass(frozen=True, slots=True)
class Free:
    """Nobody is at it. From a claim: it is ours to send now."""

    first_s: float
    """When it was first tried, by Redis' clock (Unix, seconds)."""
    doubtful: bool
    """The provider may have it from an earlier attempt."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Who claimed it died or stalled, and the provider may have it. From a claim: it is ours to judge, not to send."""

    first_s: float
    doubtful: bool = True
    owner: str = ""
    """Whose claim it was, where that is known still."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another is at it: for so many seconds at least, unless it ends before."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Stale:
    """A later copy of the job has it: this one has nothing to do with it any more."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """This attempt has ended and another follows; `handed` where the copy that brings it is known to be kept."""

    outcome: Outcome
    step_s: int
    uses_attempt: bool
    handed: bool
    asks: bool = False
    """What follows is no attempt: the provider is asked what became of this one."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It has its outcome."""

    outcome: Outcome


Entry = Free | Lapsed | Busy | Stale | PutOff | Ended
"""How a recipient stands, as seen by one delivery."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What an attempt ended with, to be written: with a step a put-off, without one an end."""

    outcome: Outcome
    step_s: int | None = None
    uses_attempt: bool = True
    doubtful: bool = False
    asks: bool = False

    @property
    def entry(self) -> Entry:
        """How the recipient stands once this is written."""
        if self.step_s is None:
            return Ended(self.outcome)
        return PutOff(self.outcome, self.step_s, self.uses_attempt, handed=False, asks=self.asks)

    def written(self) -> tuple[int, int, str]:
        """Make (n, rank, the end of its entry); rank -1 for a put-off, whose first try only the hash knows."""
        body = self.outcome.model_dump_json(exclude={"request", "n"}, exclude_none=True)
        if self.step_s is None:
            return self.outcome.n, RANKS[self.outcome.status], body
        uses = 2 if self.asks else int(self.uses_attempt)
        return self.outcome.n, -1, f"{int(self.doubtful)} 0 {uses} {self.step_s} {body}"


def read(request: str, n: int, entry: bytes) -> Entry:
    """Read what a step answered for a recipient. Raises ValueError for what another version wrote."""
    kind, _, rest = entry.partition(b" ")
    match kind:
        case b"f":
            first_ms, doubt = rest.split()
            return Free(int(first_ms) / 1000, doubtful=doubt != b"0")
        case b"e":
            first_ms, _, owner = rest.partition(b" ")
            return Lapsed(int(first_ms) / 1000, owner=owner.decode())
        case b"b":
            return Busy(int(rest) / 1000)
        case b"x":
            return Stale()
        case b"s":
            return Ended(_outcome(request, n, rest.split(b" ", 1)[1]))
        case b"r":
            _turn, _first, _doubt, handed, uses, step_s, body = rest.split(b" ", 6)
            return PutOff(_outcome(request, n, body), int(step_s), uses == b"1", handed == b"1", asks=uses == b"2")
    raise ValueError(f"the ledger holds for {request}-{n} what this version can't read: {entry[:40]!r}")


def _outcome(request: str, n: int, body: bytes) -> Outcome:
    fields: dict[str, Any] = json.loads(body)
    return Outcome(request=request, n=n, **fields)
