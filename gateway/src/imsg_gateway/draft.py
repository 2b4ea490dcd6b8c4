"""A request whose fields are checked, before it is accepted."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import NamedTuple

from imsg_channels.spec import ChannelSpec
from imsg_contract.wire import Category, Content, Recipient, Until
from imsg_gateway.attachments import File
from imsg_gateway.shares import Share


class Draft(NamedTuple):
    """A request whose fields are checked."""

    method: ChannelSpec
    account: str | None
    recipients: tuple[Recipient, ...]
    content: Content
    files: tuple[File, ...] = ()
    segments: int | None = None
    """The segments of the longest message."""
    total_segments: int | None = None
    resend_of: str | None = None
    reference: str | None = None
    """The client's own name of the request."""
    category: Category = Category.NOTICE
    lifetime: timedelta | None = None
    """How long the messages are tried; None for the default of the method."""
    provider: str | None = None
    """The only provider that may send it."""
    is_test: bool = False
    """Whether a test key sends it, or one sent what is sent again."""
    default_category: Category | None = None
    """The user's default category, by which a request of v1 was read."""
    shares: Sequence[Share] = ()
    without_address: int | None = None
    """The members of groups who have no address of the method; None where no groups are named."""
    due_at: datetime | None = None
    """When it is to be sent, where that is later than now."""
    until: Until | None = None
    """The status at which it has reached a person, where it has further legs."""
    legs: tuple["LegDraft", ...] = ()
    signature: str | None = None
    """Of the sender that it names; None: the account's own."""

    @property
    def sender(self) -> str | None:
        """The name of its sender; None for the default one, or the account's own signature."""
        name = self.content.get("sender") if self.method.sender and isinstance(self.content, dict) else None
        return name if isinstance(name, str) else None

    def leave_out(self, numbers: AbstractSet[int]) -> "Draft":
        """Return the draft without some recipients, with the segments of the others."""
        if not numbers:
            return self
        shares = [
            share._replace(recipients=[recipient for recipient in share.recipients if recipient.n not in numbers])
            for share in self.shares
        ]
        recipients = tuple(recipient for recipient in self.recipients if recipient.n not in numbers)
        left = self._replace(recipients=recipients, shares=[share for share in shares if share.recipients])
        if self.total_segments is None:
            return left
        return count_segments(left) if recipients else left._replace(segments=0, total_segments=0)


class LegDraft(NamedTuple):
    """A further leg, for those who have an address of its method, by the numbers of the first leg."""

    draft: Draft
    after_s: int
    request: str
    """Its id."""


def count_segments(draft: Draft) -> Draft:
    """Count the segments of what each share gets, where the method has them and the words are known."""
    count = draft.method.segments
    if count is None or not draft.recipients:
        return draft
    counts = []
    for share in draft.shares:
        if share.text is None:
            return draft
        counts.append(count(share.text, [recipient.address for recipient in share.recipients]))
    return draft._replace(
        segments=max(count.dearest for count in counts), total_segments=sum(count.total for count in counts)
    )
