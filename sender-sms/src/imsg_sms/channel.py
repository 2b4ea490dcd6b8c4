"""The SMS channel that the delivery engine calls."""

from collections.abc import Mapping, Sequence

from imsg_contract import addresses
from imsg_contract.topology import ASKING_S, Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result
from imsg_delivery.channel import Terms, Uncertain
from imsg_sms.opt_out_events import Suppress, publish_opt_out
from imsg_sms.providers import DescribesOptOuts, Provider
from imsg_sms.route import Route
from imsg_sms.signatures import FREE, find_signatures
from imsg_sms.templates import SCOPE, Message, Templates

MOST = 1_000
"""Recipients of a chunk and of a call: what the largest providers take at once."""

CONCURRENCY = {Lane.PRIORITY: 72, Lane.NORMAL: 64, Lane.BULK: 8}
"""Calls in flight: at a provider that answers in 50 ms, 64 single ones are what one process can do (`make bench`, E);
eight more are always free for codes."""


def terms(uncertain: Uncertain, *, can_ask: bool, most: int = MOST) -> Terms:
    """Say how the work is wanted; `most` numbers travel in the largest call that any provider takes."""
    return Terms(
        chunk_size=MOST,
        call_size=min(most, MOST),
        concurrency=CONCURRENCY,
        uncertain=uncertain,
        ask_after_s=ASKING_S if can_ask else (),
    )


class SmsChannel:
    """One content for many numbers in one call."""

    method = SCOPE

    def __init__(
        self,
        route: Route,
        templates: Templates,
        terms: Terms,
        providers: Sequence[Provider] = (),
        suppress: Suppress | None = None,
    ) -> None:
        """`suppress` publishes the numbers that opted out at their provider."""
        self.terms = terms
        self._suppress = suppress
        self._kinds = {one.name: one.kind for one in providers}
        self._opted_out = {one.name: one.opted_out for one in providers if isinstance(one, DescribesOptOuts)}
        self.providers = providers
        self._route = route
        self.templates = templates
        self.provider_pool = route.provider_pool
        self._signatures = find_signatures([(one.limits, one.takes_text) for one in providers])

    def name_sender(self, job: Job) -> str | None:
        """Name the signature, where it is the same whichever provider carries the message."""
        template = job.content.get("template") if isinstance(job.content, dict) else FREE
        return self._signatures.get(template) if isinstance(template, str) else None

    async def prepare(self, job: Job) -> Message | Again | Blocked | Refused:
        """Find the template and its variables."""
        if job.content is None:
            return Refused(SCOPE, "content", "No SMS is that long; shorten it and send again.")
        return self.templates.message(job.content)

    async def deliver(self, job: Job, prepared: Message, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send a message to some numbers, by the chunk's name as reference; return a result for each `n`."""
        fit: list[Recipient] = []
        results: dict[int, Result] = {}
        for one in recipients:
            if addresses.phone(one.address) is None:
                results[one.n] = Refused(SCOPE, "address", "This is no phone number; correct it and send again.")
            else:
                fit.append(one)
        results |= await self._route.send(prepared, fit, job) if fit else {}
        await self._publish_opt_outs(job, recipients, results)
        return results

    def find_outage(self) -> Blocked | None:
        """Say why no SMS gets through by any provider."""
        return self._route.find_outage()

    async def ask(self, job: Job, prepared: Message, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Ask the providers what became of these."""
        del prepared  # our own id is what they are asked by
        results = await self._route.trace(job, recipients, is_last=job.asking >= len(self.terms.ask_after_s))
        await self._publish_opt_outs(job, recipients, results)
        return results

    async def _publish_opt_outs(self, job: Job, recipients: Sequence[Recipient], results: Mapping[int, Result]) -> None:
        """Publish the opt-outs of numbers that their provider refused for it."""
        if self._suppress is None:
            return
        for one in recipients:
            if isinstance(result := results.get(one.n), Refused) and (kind := self._kinds.get(result.provider)):
                described = self._opted_out.get(result.provider, frozenset())
                await publish_opt_out(
                    self._suppress, job, one, result, self.name_sender(job), kind=kind, described=described
                )
