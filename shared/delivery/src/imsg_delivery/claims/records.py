"""The record of a recipient in the claims, and the transition that changes it."""

from dataclasses import dataclass

from imsg_contract.wire import Outcome


@dataclass(frozen=True, slots=True)
class Free:
    """No worker has claimed it. As the reply to a claim: this worker may send it now."""

    n: int
    first_s: float
    """When it was first tried, by Redis' clock (Unix, seconds)."""
    doubtful: bool
    """The provider may have it from an earlier attempt."""
    erased: bool = False
    """The recipient's data was erased after the job was accepted."""
    suppressed: str = ""
    """Why nothing may be sent to it any more (`contract.suppressions.Reason`), or that this can't be known now."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The worker that claimed it died or stalled, and the provider may have it.

    As the reply to a claim: this worker decides what becomes of it, and does not send it.
    """

    n: int
    first_s: float
    doubtful: bool = True
    erased: bool = False
    suppressed: str = ""
    owner: str = ""
    """The owner of the lapsed claim, if it is still known."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker has claimed it, for so many seconds at least unless it ends before."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Stale:
    """A later copy of the job holds it: this delivery must ignore it."""


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
class Settled:
    """It has its final outcome."""

    outcome: Outcome


Claimed = Free | Lapsed
"""The record of a recipient that this worker has claimed."""

Record = Free | Lapsed | Busy | Stale | Delayed | Settled
"""The record of a recipient, as one delivery sees it."""


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
