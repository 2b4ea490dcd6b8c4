"""The interface of SMS providers. Each kind is one module here, loaded only where it is configured."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from imsg_contract.wire import Again, Blocked, Concern, Inbound, Job, Receipt, Recipient, Result, TemplateLimits
from imsg_sms.templates import Message

__all__ = ["Answer", "Concern", "Provider", "Traceable"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said to one call."""

    result: Result
    """For every number of the call that is not in `each`."""
    concerns: Concern | None = None
    """What its trouble is about; None where there is none."""
    of_one: bool = False
    """It was refused whole, perhaps for one number only: `imsg_sms.bad_numbers` finds that number."""
    is_rate: bool = False
    """All that the provider is given is too much at once, and nothing is wrong with it."""
    each: Mapping[str, "Answer"] = field(default_factory=dict)
    """Number → what was said of it alone, where the provider answers for each."""

    @property
    def wants_less(self) -> bool:
        """Whether it is a limit of so many in so much time, of the number or of all that the provider is given."""
        if not isinstance(self.result, Again):
            return False
        return self.is_rate or (self.concerns == "recipient" and self.result.after_s > 0)

    @property
    def is_refused_whole(self) -> bool:
        """Whether the provider took nothing of the call, perhaps for one number only."""
        is_refusal = isinstance(self.result, Again | Blocked) and not self.wants_less
        return not self.each and (self.of_one or is_refusal)


class Provider(Protocol):
    """An account at a provider: one call for as many numbers as it takes."""

    name: str
    """What settings, results and pages call it."""
    kind: str
    """What its codes are known by."""
    most: int
    """Numbers of one call."""
    mixes_countries: bool
    """Whether one call may hold numbers of mainland China and of elsewhere."""
    takes_text: bool
    """Whether it sends any words; else it sends by approved templates only."""
    limits: Mapping[str, TemplateLimits]
    """Template → its limits; empty where the provider knows none."""
    countries: tuple[str, ...]
    """What the numbers that it takes begin with (E.164)."""

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> Answer:
        """Make one call for these numbers (E.164). `reference` is ours, the same for every try; never raises."""


@runtime_checkable
class Traceable(Protocol):
    """A provider that can be asked what became of a message."""

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Find out what became of these, as `imsg_delivery.channel.SupportsStatusQuery` says."""


@runtime_checkable
class DescribesOptOuts(Protocol):
    """A provider whose description says which refusals are of numbers that opted out."""

    name: str
    opted_out: frozenset[str]
    """Their codes, as results have them."""


@dataclass(frozen=True, slots=True)
class Push:
    """A request of a provider to its hook."""

    url: str
    """The whole URL as the provider called it, as far as it is known."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    is_inbound: bool = False
    """It came to `/hooks/sms/NAME/SECRET/inbound`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request at a hook."""

    body: str
    status: int = 200
    media_type: str = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Report:
    """A receipt that was read, and our own id that it carried; empty where it carried none."""

    receipt: Receipt
    reference: str = ""
    opted_out: bool = False
    """Whether its provider's description says that such a receipt is of a number that opted out."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What a push or a pull held."""

    read: Sequence[Report]
    unreadable: int = 0
    """Entries that can't be matched with anything."""
    inbound: Sequence[Inbound] = ()
    """What people wrote."""
    kept: "Reply | None" = None
    """The answer once it is recorded, where it is not the provider's usual one."""


Pull = Callable[[], Awaitable[Reports]]
"""Fetches the next receipts, or the next inbound messages; nothing where there are none. Raises NotSent, NoAnswer."""


class NotSigned(Exception):  # noqa: N818  named for the outcome
    """A push that its provider did not sign."""


@runtime_checkable
class Reporting(Protocol):
    """A provider that pushes receipts, and what people write, to `/hooks/sms/NAME/SECRET`."""

    name: str
    secret: str | None
    """The last part of the URL; None: none are taken."""
    kept: Reply
    """Says that all is kept."""
    unreadable_reply: Reply
    """Says that the push can't be read."""
    lost: Reply
    """Says that it was not kept, and asks for a repeat."""

    def read(self, push: Push) -> Reports | None:
        """Read a push; None where it is none. Raises NotSigned."""


@runtime_checkable
class Pulling(Protocol):
    """A provider whose receipts and inbound messages are fetched, each only once."""

    name: str
    pulls: Sequence[Pull]
    """Each is repeated for itself; none where everything is pushed."""
