"""Processing mails that come back: each makes a receipt for history, and perhaps a suppression for the catalog."""

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

OLDEST = timedelta(days=30)
"""How far back a report's own date is believed; else it is as new as its arrival."""

CLOCKS_APART = timedelta(minutes=2)

STATUSES = {Kind.DELIVERED: Status.DELIVERED, Kind.FAILED: Status.FAILED}

COMPLAINT = "complaint"
"""The code of a complaint in its message's timeline, and of a suppression's evidence where nobody said more."""


class Verdict(StrEnum):
    """What became of a mail that came back."""

    ACCEPTED = "accepted"
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105  no password
    """It names no message of ours: whoever can refuses it."""
    IGNORED = "ignored"
    """It names one and changes nothing."""


@dataclass(frozen=True, slots=True)
class IngestedBounce:
    """What became of it, and why."""

    verdict: Verdict
    why: str
    """The report's kind (`Kind`), or `token`."""
    message: str | None = None
    """`REQUEST-N`."""
    is_bounce: bool = False
    """Whether it tells what became of a message of ours; the answers of people and their machines do not."""


class BounceProcessor:
    """Processes mails that came back, from whichever source."""

    def __init__(self, broker: Broker, addressees: Addressees, first_seen: FirstSeen, keys: Sequence[bytes]) -> None:
        self._broker = broker
        self._addressees = addressees
        self._first_seen = first_seen
        self._keys = tuple(keys)

    def knows(self, recipient: str) -> bool:
        """Tell whether an address holds a token of ours, so that others are refused before their mail is read."""
        return read_token(self._keys, recipient.rpartition("@")[0] or recipient) is not None

    async def process(self, raw: bytes, recipients: Sequence[str] = ()) -> IngestedBounce:
        """Process a mail; `recipients` are its envelope's, where they are known. The same twice changes nothing.

        Returns once all its events are kept. Raises RetryLater where broker or history is away: it has to come again.
        """
        report = await asyncio.to_thread(read_report, raw, rcpt=recipients)
        found = self._find_message(report)
        if found is None:
            log.info("bounce_without_message", kind=report.kind.value)
            return IngestedBounce(Verdict.UNKNOWN_TOKEN, "token")
        name = message_id(*found)
        at = await self._find_time(report, found[0], name)
        events = [*await self._find_suppressions(report, *found, at), *_receipts(report, *found, at)]
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
        """Find the message: by the envelope's token, else by the signed name of the mail that came back."""
        by_token = (read_token(self._keys, one) for one in report.tokens)
        by_name = (read_signed_name(self._keys, one) for one in report.names)
        return next((found for found in chain(by_token, by_name) if found is not None), None)

    async def _find_time(self, report: Report, request: str, name: str) -> datetime:
        """Return a report's own time where it can be true, else when it came first: the same twice is one.

        Raises RetryLater.
        """
        now = datetime.now(UTC)
        own = _read_time(report, request, now)
        if own is not None:
            return own
        try:
            return await self._first_seen.find(report, name, now)
        except (RedisUnavailable, RedisRefused) as error:
            raise RetryLater(f"Redis is away: {error}") from error

    async def _find_suppressions(self, report: Report, request: str, n: int, at: datetime) -> list[Suppression]:
        """Return the suppressions that follow. Raises RetryLater.

        A complaint about a code or a notice stops that sender's marketing too.
        """
        if not report.is_hard and report.kind is not Kind.COMPLAINT:
            return []
        addressee = await self._addressees.find(request, n)
        if addressee is None:
            return []
        is_complaint = report.kind is Kind.COMPLAINT
        if not is_complaint and not (_is_of(report, addressee) and can_be_real(addressee.address)):
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


def _is_of(report: Report, addressee: Addressee) -> bool:
    """Tell whether a report names the mailbox that was written to: of an alias' members one may be gone."""
    named = report.recipient.rpartition("@")[0].lower()
    return not named or named == addressee.address.rpartition("@")[0].lower()


def _receipts(report: Report, request: str, n: int, at: datetime) -> list[Receipt]:
    if report.kind is Kind.COMPLAINT:
        return [_complaint(report, request, n, at)]
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


def _complaint(report: Report, request: str, n: int, at: datetime) -> Receipt:
    """Make a line of the timeline: the mail was delivered, and its status stays as it is."""
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
    """Return a report's own time; None where it has none, or one that can't be true.

    It knows seconds; the last of its own comes after the mail that it speaks of.
    """
    accepted_at = datetime.fromtimestamp(int(request[:12], 16) / 1_000, UTC)
    if report.at is None or not max(now - OLDEST, accepted_at - CLOCKS_APART) <= report.at <= now:
        return None
    return report.at.replace(microsecond=999_999)
