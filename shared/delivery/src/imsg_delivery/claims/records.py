"""The record of a recipient in the claims, and the transition that changes it."""

from dataclasses import dataclass

from imsg_contract.wire import Outcome


@dataclass(frozen=True, slots=True)
class Free:
    """No worker has claimed the recipient. As the reply to a claim: this worker may send the message now."""

    n: int
    first_s: float
    """When it was first tried, by Redis' clock (Unix, seconds)."""
    doubtful: bool
    """The provider may have the message from an earlier attempt."""
    erased: bool = False
    """The recipient's data was erased after the job was accepted."""
    suppressed: str = ""
    """The reason of a suppression (`contract.suppressions.Reason`), or `people.suppressions.UNKNOWN`; empty: none."""
    cancelled: bool | None = False
    """Whether a cancel record stops the message; None: not known."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The worker that claimed the recipient died or stalled, and the provider may have the message.

    As the reply to a claim: this worker decides the outcome, and does not send.
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
    """Another worker has claimed the recipient; the lease lasts `left_s` seconds."""

    left_s: float


@dataclass(frozen=True, slots=True)
class Stale:
    """A later copy of the job holds the recipient: this delivery must ignore the recipient."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """This attempt has ended and another follows; `handed`: the broker has confirmed its copy of the job."""

    outcome: Outcome
    step_s: int
    uses_attempt: bool
    handed: bool
    queries_status: bool = False
    """A status query at the provider follows instead of an attempt."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The message has its final outcome."""

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
    """The provider may have the message from this attempt or an earlier one."""
    queries_status: bool = False
    """A status query follows after the delay."""
