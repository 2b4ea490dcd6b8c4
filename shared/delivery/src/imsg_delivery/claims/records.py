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
    """Why it is suppressed (`contract.suppressions.Reason`), or `people.suppressions.UNKNOWN`; empty: it is not."""
    cancelled: bool | None = False
    """A cancel record stops it; None: it is not known whether one does."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The worker that claimed it died or stalled, and the provider may have it.

    As the reply to a claim: this worker decides its outcome, and does not send it.
    """

    n: int
    first_s: float
    doubtful: bool = True
    erased: bool = False
    suppressed: str = ""
    cancelled: bool | None = False
    owner: str = ""
    """The owner of the lapsed claim, if it is still known."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker has claimed it; the lease lasts `left_s` seconds."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Stale:
    """A later copy of the job holds it: this delivery must ignore it."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """This attempt has ended and another follows; `handed`: the broker has confirmed the copy of the job for it."""

    outcome: Outcome
    step_s: int
    uses_attempt: bool
    handed: bool
    queries_status: bool = False
    """A status query at the provider follows instead of an attempt."""


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
    """The end of an attempt, to be written: with `step_s` the recipient is delayed, without it settled."""

    outcome: Outcome
    step_s: int | None = None
    """The delay before the next attempt, in seconds; set exactly where the status is `retrying`."""
    uses_attempt: bool = True
    doubtful: bool = False
    """The provider may have it from this attempt or an earlier one."""
    queries_status: bool = False
    """A status query follows after the delay."""
