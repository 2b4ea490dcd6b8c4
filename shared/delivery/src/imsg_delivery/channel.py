"""The port between the worker loop and a channel: what a channel is told, and the results it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from imsg_contract.topology import Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result

Uncertain = Literal["repeat", "stop"]
"""What is done where the provider may have a message (promise 4): send it again, or settle it `uncertain`."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a channel wants its work."""

    chunk_size: int
    """Recipients of one chunk: a longer job is split first. At most 5,000; never lowered while jobs are waiting, or
    a job that is split again would get other chunks."""
    call_size: int
    """Recipients of one provider call: 1 for mail and WeChat, up to 1,000 for SMS."""
    concurrency: Mapping[Lane, int]
    """Calls in flight at once of a lane and those below it together: what a lane has beyond the next one's is always
    free of lists, or of all but codes. The first is all calls: by so many a crash may leave the world in doubt."""
    uncertain: Uncertain
    repeat_for_s: float | None = None
    """With `repeat`: only within so many seconds of a message's first try, then settled (WeChat: 9 min)."""
    ask_after_s: tuple[int, ...] = ()
    """How long to wait before each time the provider is asked what became of what is unknown; for a channel that is
    of SupportsStatusQuery. The rule of `uncertain` answers only what is unknown still after the last."""


Prepared = TypeVar("Prepared")
Asked_contra = TypeVar("Asked_contra", contravariant=True)
"""What a channel of SupportsStatusQuery prepared: it only takes it."""


class Channel(Protocol[Prepared]):
    """A way to people. Two methods: make ready what a chunk's recipients share, then deliver to some of them.

    What a provider says is a result, never an exception. What raises is a bug: it is logged with its traceback, the
    recipients of the call are taken for unknown, and what breaks three times in a row is a dead letter.
    """

    method: str
    terms: Terms

    async def prepare(self, job: Job) -> Prepared | Again | Blocked | Refused:
        """Fetch what the job holds by reference and render what all its recipients share, once per chunk.

        A result instead of something prepared is the answer for every recipient that is left of the chunk.
        """

    async def deliver(self, job: Job, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Make one provider call for these recipients (at most `call_size`) and answer a result for each `n`.

        It is called only for recipients this worker has claimed, and again for the same one only after Again,
        Blocked or, by the rule of `uncertain`, Unknown: answer Unknown wherever the provider may have the message.
        Be idempotent towards the provider where it can be (a constant Message-ID, client_msg_id), and bounded in
        time. Cancelled, close what is in doubt: the recipients are then taken for unknown.
        """


@runtime_checkable
class SupportsStatusQuery(Protocol[Asked_contra]):
    """What a channel has beside, where its provider can be asked what became of a message."""

    async def ask(self, job: Job, prepared: Asked_contra, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Find out what became of messages that the provider may have (at most `call_size`), without sending any.

        Sent and Refused settle a message. Again: it was certainly never taken, and is sent anew in the ordinary way.
        Unknown (and Blocked, and a recipient left out): it can't be said yet, ask again later.
        """


@runtime_checkable
class SupportsOutage(Protocol):
    """What a channel has beside, that knows when no message gets through at all: the others wait while one tries."""

    def find_outage(self) -> Blocked | None:
        """Say why nothing gets through by any provider, and after how long one may try; None once a try succeeded.

        Asking changes nothing, and costs next to nothing. With `after_s` 0 one is to try now.
        """


@runtime_checkable
class SupportsSenderName(Protocol):
    """What a channel has beside, where its messages come from several whom people tell apart."""

    def name_sender(self, job: Job) -> str | None:
        """Name whose message it is to its recipients (a signature, an account), as suppressions have it.

        Empty: the one that needs no name. None: it can't be told.
        """
