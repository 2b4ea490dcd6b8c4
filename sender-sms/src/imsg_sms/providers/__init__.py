"""The interfaces of SMS providers. Each kind of provider is one module here, loaded only if it is configured."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from imsg_contract.results import Again, Blocked, Concern, Result
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Inbound, Job, Receipt, Recipient
from imsg_sms.templates import Message

__all__ = ["Concern", "ProviderReply", "SmsProvider", "Traceable"]


@dataclass(frozen=True, slots=True)
class ProviderReply:
    """A provider's reply to one call."""

    result: Result
    """The result for every number of the call that is not in `by_number`."""
    concerns: Concern | None = None
    """What the error is about; None if there is none."""
    for_one_number: bool = False
    """The whole call was refused, perhaps because of one number: `imsg_sms.bad_numbers` finds that number."""
    is_rate_limit: bool = False
    """The account exceeds the provider's rate limit; the messages are fine."""
    by_number: Mapping[str, "ProviderReply"] = field(default_factory=dict)
    """Number (E.164) → its reply, if the provider answers for each number."""

    @property
    def is_rate_limited(self) -> bool:
        """Whether a rate limit was exceeded: that of a number, or of the account."""
        if not isinstance(self.result, Again):
            return False
        return self.is_rate_limit or (self.concerns == "recipient" and self.result.after_s > 0)

    @property
    def is_refused_whole(self) -> bool:
        """Whether the provider accepted no number of the call, perhaps because of one of them."""
        is_refusal = isinstance(self.result, Again | Blocked) and not self.is_rate_limited
        return not self.by_number and (self.for_one_number or is_refusal)


class SmsProvider(Protocol):
    """An account at a provider. One call sends one message to up to `max_numbers` numbers."""

    name: str
    """The name of the account in settings, results and pages."""
    kind: str
    """The kind of provider, which its codes belong to."""
    max_numbers: int
    """The most numbers of one call."""
    mixes_countries: bool
    """Whether one call may hold numbers of mainland China and of elsewhere."""
    takes_text: bool
    takes_signature: bool
    """Whether it sends by a signature that a message names, in place of the account's."""
    """Whether it sends any text; if not, only approved templates."""
    limits: Mapping[str, TemplateLimits]
    """Template → its limits; empty if the account has no templates."""
    countries: tuple[str, ...]
    """The prefixes of the numbers that it accepts (E.164)."""

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> ProviderReply:
        """Make one call for these numbers (E.164); never raises. `reference` is our id, the same at every try."""


@runtime_checkable
class Traceable(Protocol):
    """A provider that can be asked for the status of a message."""

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Return the status of each number, by the rules of `imsg_delivery.channel.SupportsStatusQuery`."""


@runtime_checkable
class DescribesOptOuts(Protocol):
    """A provider whose description lists the codes of numbers that opted out."""

    name: str
    opted_out: frozenset[str]
    """The codes, as results have them."""


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A request of a provider to its hook."""

    url: str
    """The URL that the provider called, with `public_url` if that is set."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    is_inbound: bool = False
    """Whether it came to `/hooks/sms/NAME/SECRET/inbound`."""


@dataclass(frozen=True, slots=True)
class HookReply:
    """The answer to a request at a hook."""

    body: str
    status: int = 200
    media_type: str = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ReceiptReport:
    """A receipt, and our own id that it carried; empty if it carried none."""

    receipt: Receipt
    reference: str = ""
    opted_out: bool = False
    """Whether the provider's description counts it as an opt-out of the number."""


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """The receipts and inbound messages of one push or pull."""

    receipts: Sequence[ReceiptReport]
    unreadable: int = 0
    """The number of entries that are neither."""
    inbound: Sequence[Inbound] = ()
    reply: "HookReply | None" = None
    """The answer once it is recorded; None: `accepted_reply`."""


FetchReports = Callable[[], Awaitable[ReportBatch]]
"""Fetches the next receipts or inbound messages; an empty batch if there are none. Raises NotSent, NoAnswer."""


class NotSigned(Exception):  # noqa: N818  named for the outcome
    """The signature of a push is missing or wrong."""


@runtime_checkable
class PushesReports(Protocol):
    """A provider that pushes receipts and inbound messages to `/hooks/sms/NAME/SECRET`."""

    name: str
    secret: str | None
    """The last part of the URL; None: the hook is closed."""
    accepted_reply: HookReply
    """The answer to a push that was recorded."""
    unreadable_reply: HookReply
    """The answer to a push that can't be read."""
    retry_reply: HookReply
    """The answer that requests another push, because recording failed."""

    def read(self, push: HookRequest) -> ReportBatch | None:
        """Read a push; None if it can't be read. Raises NotSigned."""


@runtime_checkable
class PullsReports(Protocol):
    """A provider whose receipts and inbound messages are fetched; it returns each once."""

    name: str
    pulls: Sequence[FetchReports]
    """The fetches, each repeated on its own; empty if everything is pushed."""
