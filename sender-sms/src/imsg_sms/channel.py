"""The SMS channel that the delivery engine calls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from imsg_channels.sms import SMS
from imsg_contract import addresses
from imsg_contract.results import Again, Blocked, Refused, Result
from imsg_contract.topology import QUERY_STEPS_S, Lane
from imsg_contract.wire import Job, Recipient
from imsg_delivery.channel import Terms, Uncertain
from imsg_sms.opt_out_events import Suppress, publish_opt_out
from imsg_sms.providers import DescribesOptOuts, SmsProvider
from imsg_sms.router import SmsRouter
from imsg_sms.signatures import FREE_TEXT, find_signatures
from imsg_sms.templates import SCOPE, Message, Templates

MAX_RECIPIENTS = 1_000
"""Recipients of a chunk and of a call: the most that the largest providers accept."""

CONCURRENCY = {Lane.PRIORITY: 72, Lane.NORMAL: 64, Lane.BULK: 8}
"""Calls in flight. At a provider that answers in 50 ms one process makes at most 64 (`make bench`, E); eight more are
reserved for the priority lane, which codes use."""


def terms(uncertain: Uncertain, *, can_query_status: bool, max_numbers: int = MAX_RECIPIENTS) -> Terms:
    """Return the channel's terms; `max_numbers` is the largest call that any of its providers accepts."""
    return Terms(
        chunk_size=SMS.chunk_size,
        call_size=min(max_numbers, MAX_RECIPIENTS),
        concurrency=CONCURRENCY,
        uncertain=uncertain,
        query_after_s=QUERY_STEPS_S if can_query_status else (),
    )


class SmsChannel:
    """Sends one content to many numbers in one call."""

    method = SCOPE

    def __init__(
        self,
        router: SmsRouter,
        templates: Templates,
        terms: Terms,
        providers: Sequence[SmsProvider] = (),
        suppress: Suppress | None = None,
        *,
        senders: Mapping[str, str] | None = None,
    ) -> None:
        """Make the channel; `suppress` publishes the numbers that opted out at their provider.

        `senders` are the signatures that a send may name.
        """
        self.senders = senders or {}
        self.terms = terms
        self._suppress = suppress
        self._kinds = {provider.name: provider.kind for provider in providers}
        self._opted_out = {
            provider.name: provider.opted_out for provider in providers if isinstance(provider, DescribesOptOuts)
        }
        self.providers = providers
        self._router = router
        self.templates = templates
        self.provider_pool = router.provider_pool
        self._signatures = find_signatures([(provider.limits, provider.takes_text) for provider in providers])

    def name_sender(self, job: Job) -> str | None:
        """Return the signature if all providers have the same for this message; None if they differ."""
        if (sender := _read_sender(job)) is not None:
            return self.senders.get(sender)
        template = job.content.get("template") if isinstance(job.content, dict) else FREE_TEXT
        return self._signatures.get(template) if isinstance(template, str) else None

    async def prepare(self, job: Job) -> Message | Again | Blocked | Refused:
        """Return the message, by its template and variables, or why it can't be sent."""
        if job.content is None:
            return Refused(SCOPE, "content", "No SMS is that long; shorten it and send again.")
        sender = _read_sender(job)
        if sender is not None and sender not in self.senders:
            return Refused(SCOPE, "sender", f"There is no sender {sender} any more; send it again by another.")
        message = self.templates.make_message(job.content)
        if sender is None or isinstance(message, Refused):
            return message
        return replace(message, signature=self.senders[sender])

    async def deliver(self, job: Job, prepared: Message, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send a message to numbers; the chunk's name is the reference. Return a result for each `n`."""
        valid: list[Recipient] = []
        results: dict[int, Result] = {}
        for recipient in recipients:
            if addresses.phone(recipient.address) is None:
                results[recipient.n] = Refused(SCOPE, "address", "This is no phone number; correct it and send again.")
            else:
                valid.append(recipient)
        results |= await self._router.send(prepared, valid, job) if valid else {}
        await self._publish_opt_outs(job, recipients, results)
        return results

    def find_outage(self) -> Blocked | None:
        """Return why no provider can send; None if one can."""
        return self._router.find_outage()

    async def query_status(self, job: Job, prepared: Message, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Return the status at the providers of messages with unknown results."""
        del prepared  # providers are asked by our id
        results = await self._router.trace(job, recipients, is_last=job.status_query >= len(self.terms.query_after_s))
        await self._publish_opt_outs(job, recipients, results)
        return results

    async def _publish_opt_outs(self, job: Job, recipients: Sequence[Recipient], results: Mapping[int, Result]) -> None:
        """Publish the opt-outs of numbers that a provider refused because they opted out there."""
        if self._suppress is None:
            return
        for recipient in recipients:
            if isinstance(result := results.get(recipient.n), Refused) and (kind := self._kinds.get(result.provider)):
                described = self._opted_out.get(result.provider, frozenset())
                await publish_opt_out(
                    self._suppress, job, recipient, result, self.name_sender(job), kind=kind, described=described
                )


def _read_sender(job: Job) -> str | None:
    """Return the name of the sender that a content names; None where it names none."""
    sender = job.content.get("sender") if isinstance(job.content, dict) else None
    return sender if isinstance(sender, str) else None
