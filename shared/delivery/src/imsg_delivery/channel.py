"""The port between the worker and a channel: a job and recipients in, results out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from imsg_contract.results import Again, Blocked, Refused, Result
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient

Uncertain = Literal["repeat", "stop"]
"""The rule for a message that the provider may have (promise 4): send it again, or settle it `uncertain`."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The sizes, limits and rules that a channel sets for its worker."""

    chunk_size: int
    """Recipients of one chunk, by the channel's description: a longer job is split first."""
    call_size: int
    """Recipients of one provider call: 1 for mail and WeChat, up to 1,000 for SMS."""
    concurrency: Mapping[Lane, int]
    """Calls in flight at once of a lane and those below it together: what a lane has beyond the next one's is always
    free of lists, or of all but codes. The first is all calls: by so many a crash may leave the world in doubt."""
    uncertain: Uncertain
    repeat_for_s: float | None = None
    """With `repeat`: only within so many seconds of a message's first try, then settled (WeChat: 9 min)."""
    query_after_s: tuple[int, ...] = ()
    """How long to wait before each time the provider is asked what became of what is unknown; for a channel that is
    of SupportsStatusQuery. The rule of `uncertain` answers only what is unknown still after the last."""


Prepared = TypeVar("Prepared")
Prepared_contra = TypeVar("Prepared_contra", contravariant=True)
"""The type of `prepared` of a channel that supports status queries."""


class Channel(Protocol[Prepared]):
    """A channel: `prepare` renders the part that a chunk's recipients share, `deliver` sends to some of them.

    A provider's reply is a result, never an exception. An exception is a bug: the worker logs its traceback and treats
    the recipients of the call as Unknown; a job that raises three times in a row is a dead letter.
    """

    method: str
    terms: Terms

    async def prepare(self, job: Job) -> Prepared | Again | Blocked | Refused:
        """Fetch what the job holds by reference and render what all its recipients share, once per chunk.

        A returned result applies to every remaining recipient of the chunk.
        """

    async def deliver(self, job: Job, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Make one provider call for these recipients (at most `call_size`) and answer a result for each `n`.

        It is called only for recipients this worker has claimed, and again for the same one only after Again,
        Blocked or, by the rule of `uncertain`, Unknown: answer Unknown wherever the provider may have the message.
        Be idempotent towards the provider where it can be (a constant Message-ID, client_msg_id), and bounded in
        time. Cancelled, close what is in doubt: the recipients are then taken for unknown.
        """


@runtime_checkable
class SupportsStatusQuery(Protocol[Prepared_contra]):
    """A channel whose provider can be queried for a message's status."""

    async def query_status(
        self, job: Job, prepared: Prepared_contra, recipients: Sequence[Recipient]
    ) -> Mapping[int, Result]:
        """Query the status of messages that the provider may have (at most `call_size`), without sending any.

        Sent and Refused settle a message. Again: the provider never accepted it, so it is sent again. Unknown, Blocked
        and an omitted recipient: the status is not known yet, and the worker queries again later.
        """


@runtime_checkable
class SupportsOutage(Protocol):
    """A channel that reports outages, in which no provider accepts messages: one call tries, the others wait."""

    def find_outage(self) -> Blocked | None:
        """Return why no provider accepts messages, and after how long one may try; None once a try succeeded.

        The call has no effect and is cheap. With `after_s` 0 a message may try now.
        """


@runtime_checkable
class SupportsSenderName(Protocol):
    """A channel with several senders that recipients can tell apart."""

    def name_sender(self, job: Job) -> str | None:
        """Return the sender (a signature, an account) by which suppressions are looked up.

        Empty: the default sender. None: it is not known.
        """
