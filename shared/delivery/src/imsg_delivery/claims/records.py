"""How a recipient stands in the claims, and the transition that takes it further."""

from dataclasses import dataclass

from imsg_contract.wire import Outcome


@dataclass(frozen=True, slots=True)
class Free:
    """Nobody is at it. From a claim: it is ours to send now."""

    n: int
    first_s: float
    """When it was first tried, by Redis' clock (Unix, seconds)."""
    doubtful: bool
    """The provider may have it from an earlier attempt."""
    erased: bool = False
    """Its person's data was erased since the job was accepted."""
    suppressed: str = ""
    """Why nothing may be sent to it any more (`contract.suppressions.Reason`), or that this can't be known now."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Who claimed it died or stalled, and the provider may have it. From a claim: it is ours to judge, not to send."""

    n: int
    first_s: float
    doubtful: bool = True
    erased: bool = False
    suppressed: str = ""
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
class Delayed:
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


Claimed = Free | Lapsed
"""How a recipient stands that is ours."""

Record = Free | Lapsed | Busy | Stale | Delayed | Ended
"""How a recipient stands, as seen by one delivery."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What an attempt at a recipient ended with, to be written: with a step it is delayed, without one it has ended."""

    outcome: Outcome
    step_s: int | None = None
    """After how long it is tried again; given exactly where the status is `retrying`."""
    uses_attempt: bool = True
    doubtful: bool = False
    """The provider may have it from this attempt or an earlier one."""
    asks: bool = False
    """After the step the provider is asked what became of it."""
