"""Processes bounces: publishes a receipt for history and, where it follows, a suppression for the catalog."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.topology import RECEIPT
from imsg_contract.wire import Category, Receipt, Status, message_id
from imsg_runtime.logs import logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_smtp.bounces.addressees import Addressee, Addressees, RetryLater
from imsg_smtp.bounces.bounce_token import read_signed_name, read_token
from imsg_smtp.bounces.first_seen import FirstSeen
from imsg_smtp.bounces.report import Kind, Report, read_report
from imsg_smtp.hard_bounces import can_be_real
from imsg_smtp.replies import PROVIDER

__all__ = ["BounceProcessor", "IngestedBounce", "RetryLater", "Verdict"]

log = logger(__name__)

PUBLISH_TIMEOUT_S = 4.0

MAX_REPORT_AGE = timedelta(days=30)
"""The age up to which a report's own date is used; with an older date its arrival counts."""

MAX_CLOCK_SKEW = timedelta(minutes=2)

STATUSES = {Kind.DELIVERED: Status.DELIVERED, Kind.FAILED: Status.FAILED}

COMPLAINT = "complaint"
"""The code of a complaint in the message's timeline, and a suppression's evidence where the report has no text."""


class Verdict(StrEnum):
    """The result for a bounce."""

    ACCEPTED = "accepted"
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105  no password
    """It names no message of iMSG: the source refuses it, if it can."""
    IGNORED = "ignored"
    """It names a message, and has no effect."""


@dataclass(frozen=True, slots=True)
class IngestedBounce:
    """The result of processing a mail."""

    verdict: Verdict
    why: str
    """The report's kind (`Kind`), or `token`."""
    message: str | None = None
    """The message's name, `REQUEST-N`."""
    is_bounce: bool = False
    """Whether the mail reports on a message of iMSG; replies of people and automatic replies do not."""


class BounceProcessor:
    """Processes the mails of all bounce sources."""

    def __init__(self, broker: Broker, addressees: Addressees, first_seen: FirstSeen, keys: Sequence[bytes]) -> None:
        self._broker = broker
        self._addressees = addressees
        self._first_seen = first_seen
        self._keys = tuple(keys)

    def knows(self, recipient: str) -> bool:
        """Return whether an address or local part is a valid token: the listener refuses others at RCPT."""
        return read_token(self._keys, recipient.rpartition("@")[0] or recipient) is not None

    async def process(self, raw: bytes, recipients: Sequence[str] = ()) -> IngestedBounce:
        """Process a mail; `recipients` are the envelope's, where they are known. A repeat changes nothing.

        Returns once the broker has confirmed all events. Raises RetryLater where broker, history or Redis is
        unavailable: the source must deliver the mail again.
        """
        report = await asyncio.to_thread(read_report, raw, rcpt=recipients)
        message = self._find_message(report)
        if message is None:
            log.info("bounce_without_message", kind=report.kind.value)
            return IngestedBounce(Verdict.UNKNOWN_TOKEN, "token")
        name = message_id(*message)
        at = await self._find_time(report, message[0], name)
        events = [*await self._find_suppressions(report, *message, at), *_make_receipts(report, *message, at)]
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                for event in events:
                    new = self._broker.topology.new(RECEIPT)
                    route = self._broker.topology.suppressions if isinstance(event, Suppression) else new
                    await self._broker.publish(event.encode(), route)
        except (PublishRefused, PublishUnknown, TimeoutError) as error:
            raise RetryLater(f"the broker did not keep it: {str(error) or type(error).__name__}") from error
        log.info("bounce", kind=report.kind.value, code=report.code, message=name, events=len(events))
        verdict = Verdict.ACCEPTED if events else Verdict.IGNORED
        return IngestedBounce(verdict, report.kind.value, name, is_bounce=report.is_bounce)

    def _find_message(self, report: Report) -> tuple[str, int] | None:
        """Return the message as `(request, n)`: by the envelope's token, else by the returned mail's signed name."""
        by_token = (read_token(self._keys, token) for token in report.tokens)
        by_name = (read_signed_name(self._keys, name) for name in report.names)
        return next((message for message in chain(by_token, by_name) if message is not None), None)

    async def _find_time(self, report: Report, request: str, name: str) -> datetime:
        """Return the report's own time if it is plausible, else its first arrival: a repeat gets the same time.

        Raises RetryLater.
        """
        now = datetime.now(UTC)
        own = _read_time(report, request, now)
        if own is not None:
            return own
        try:
            return await self._first_seen.find(report, name, now)
        except (RedisUnavailable, RedisRefused) as error:
            raise RetryLater(f"Redis is unavailable: {error}") from error

    async def _find_suppressions(self, report: Report, request: str, n: int, at: datetime) -> list[Suppression]:
        """Return the suppressions that follow from a report. Raises RetryLater.

        A complaint about a code or a notice also suppresses that sender's marketing.
        """
        if not report.is_hard and report.kind is not Kind.COMPLAINT:
            return []
        addressee = await self._addressees.find(request, n)
        if addressee is None:
            return []
        is_complaint = report.kind is Kind.COMPLAINT
        if not is_complaint and not (_names_mailbox_of(report, addressee) and can_be_real(addressee.address)):
            return []
        categories = dict.fromkeys((addressee.category, Category.MARKETING)) if is_complaint else (None,)
        return [
            Suppression(
                method="smtp",
                address=addressee.address,
                reason=Reason.COMPLAINT if is_complaint else Reason.HARD_BOUNCE,
                sender=addressee.sender if is_complaint else None,
                category=category,
                evidence=f"{report.code} {report.detail}".strip() or COMPLAINT,
                request=request,
                n=n,
                at=at,
            )
            for category in categories
        ]


def _names_mailbox_of(report: Report, addressee: Addressee) -> bool:
    """Return whether the report is about the addressee's mailbox: an alias may have members that do not exist."""
    local_part = report.recipient.rpartition("@")[0].lower()
    return not local_part or local_part == addressee.address.rpartition("@")[0].lower()


def _make_receipts(report: Report, request: str, n: int, at: datetime) -> list[Receipt]:
    if report.kind is Kind.COMPLAINT:
        return [_make_complaint(report, request, n, at)]
    status = STATUSES.get(report.kind)
    if status is None:
        return []
    return [
        Receipt(
            provider=PROVIDER,
            provider_id=message_id(request, n),
            address="",
            request=request,
            n=n,
            status=status,
            code=report.code or None,
            detail=report.detail or None,
            at=at,
        )
    ]


def _make_complaint(report: Report, request: str, n: int, at: datetime) -> Receipt:
    """Make the receipt that adds a complaint to the timeline: the mail was delivered, and its status stays."""
    return Receipt(
        provider=PROVIDER,
        provider_id=message_id(request, n),
        address="",
        complaint_of=request,
        n=n,
        status=Status.DELIVERED,
        code=COMPLAINT,
        detail=report.detail or None,
        at=at,
    )


def _read_time(report: Report, request: str, now: datetime) -> datetime | None:
    """Return the report's own time; None where it is missing or implausible.

    The Date header has whole seconds: their end is returned, so that the report follows the sending of its mail.
    """
    accepted_at = datetime.fromtimestamp(int(request[:12], 16) / 1_000, UTC)
    if report.at is None or not max(now - MAX_REPORT_AGE, accepted_at - MAX_CLOCK_SKEW) <= report.at <= now:
        return None
    return report.at.replace(microsecond=999_999)
