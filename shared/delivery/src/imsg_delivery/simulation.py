"""The provider of test keys: it is played, and no message leaves iMSG."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Generic

from imsg_broker.port import Delivery
from imsg_contract.magic_recipients import DELIVERED, NOT_CALLED, Play, find_play
from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import RECEIPT, Lane
from imsg_contract.wire import Job, Outcome, Receipt, Recipient, Status, message_id
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.outcome_publisher import OutcomePublisher

PROVIDER = "test"
"""The provider's name in the timeline of a test message."""

CALLS = 4
"""Calls in flight, beside those of the channel: the test lane has a share of its own."""

REPORT_AFTER_S = 1.0
"""How long after a message was sent it is reported, so that clients see the one status and then the other."""


class SimulatedChannel(Generic[Prepared]):
    """A channel whose provider is simulated: jobs are prepared as usual, and no provider is called."""

    def __init__(self, channel: Channel[Prepared]) -> None:
        self.method = channel.method
        self.terms = replace(channel.terms, concurrency=dict.fromkeys(Lane, CALLS))
        self._channel = channel

    async def prepare(self, job: Job) -> Prepared | Again | Blocked | Refused:
        """Prepare a job. What blocks it is not reported as a block of the channel."""
        prepared = await self._channel.prepare(job)
        return replace(prepared, concerns="content") if isinstance(prepared, Blocked) else prepared

    async def deliver(self, job: Job, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Return what becomes of each recipient."""
        del prepared
        plays = {recipient.n: find_play(job.method, recipient.address) for recipient in recipients}
        await asyncio.sleep(max(play.wait_s for play in plays.values()))
        return {n: _make_result(play, job, n) for n, play in plays.items()}

    async def query_status(self, job: Job, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Return that the provider has what it may have."""
        del prepared
        return {recipient.n: _make_sent(job, recipient.n) for recipient in recipients}


class ReportingPublisher(OutcomePublisher):
    """Publishes outcomes of test messages, and after those of sent ones their receipts."""

    async def publish(self, outcomes: Sequence[Outcome], delivery: Delivery) -> bool:
        """Publish outcomes, then receipts; False where the delivery was lost first. It then comes again, with both."""
        if not await super().publish(outcomes, delivery):
            return False
        receipts = _make_receipts(Job.model_validate_json(delivery.body), outcomes)
        if not receipts:
            return True
        await asyncio.sleep(REPORT_AFTER_S)
        route = self._broker.topology.new(RECEIPT)
        return await self._publish_all(
            [partial(self._broker.publish, receipt.encode(), route) for receipt in receipts], delivery
        )


def _make_result(play: Play, job: Job, n: int) -> Result:
    if play.result == "sent" or (play.once and job.attempt > 1):
        return _make_sent(job, n)
    match play.result:
        case "again":
            return Again(PROVIDER, play.code, play.detail)
        case "refused":
            return Refused(PROVIDER, play.code, play.detail)
        case "unknown":
            return Unknown(PROVIDER, play.code, play.detail)


def _make_sent(job: Job, n: int) -> Sent:
    return Sent(PROVIDER, message_id(job.request, n), NOT_CALLED)


def _make_receipts(job: Job, outcomes: Sequence[Outcome]) -> list[Receipt]:
    sent = {outcome.n for outcome in outcomes if outcome.status is Status.SENT}
    reports = [
        (recipient, report)
        for recipient in job.recipients
        if recipient.n in sent and (report := find_play(job.method, recipient.address).report) is not None
    ]
    return [
        Receipt(
            provider=PROVIDER,
            provider_id=message_id(job.request, recipient.n),
            address=recipient.address,
            request=job.request,
            n=recipient.n,
            status=Status.DELIVERED if report == DELIVERED else Status.FAILED,
            code=report,
            at=datetime.now(UTC),
        )
        for recipient, report in reports
    ]
