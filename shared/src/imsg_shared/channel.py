"""The port between the worker loop and a channel: what a channel is told, and the results it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from imsg_shared.topology import Lane
from imsg_shared.wire import Again, Blocked, Job, Recipient, Refused, Result

Uncertain = Literal["repeat", "stop"]
"""What is done where the provider may have a message (promise 4): send it again, or settle it `uncertain`."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a channel wants its work."""

    part_size: int
    """Recipients of one part: a longer job is split first."""
    call_size: int
    """Recipients of one provider call: 1 for mail and WeChat, up to 1,000 for SMS."""
    concurrency: Mapping[Lane, int]
    """Calls in flight at once, by lane: each lane has its own share, so bulk never starves single."""
    uncertain: Uncertain
    repeat_for_s: float | None = None
    """With `repeat`: only within so many seconds of the request's first try, then settled (WeChat: 9 min)."""


Prepared = TypeVar("Prepared")


class Channel(Protocol[Prepared]):
    """A way to people. Two methods: make ready what a part's recipients share, then deliver to some of them."""

    method: str
    terms: Terms

    async def prepare(self, job: Job) -> Prepared | Again | Blocked | Refused:
        """Fetch what the job holds by reference and render what all its recipients share, once per part.

        A result instead of something prepared is the answer for every recipient of the part.
        """

    async def deliver(self, job: Job, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Make one provider call for these recipients (at most `call_size`) and answer a result for each `n`.

        Provider trouble is a result, never an exception; what raises is a bug. Must be idempotent towards the
        provider where it can be (a constant Message-ID, client_msg_id). Bounded in time by the channel itself.
        """
