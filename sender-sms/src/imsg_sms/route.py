"""Which provider carries a message: in order, past those that are down; one bad number never fails the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imsg_contract.wire import Again, Blocked, Job, Recipient, Result, Unknown
from imsg_delivery.circuit_breaker import Breaker
from imsg_sms.providers import Answer, Provider, Traceable
from imsg_sms.templates import Message

THRESHOLD = 5
"""Failures of a provider in a row after which it is left alone."""

COOL_OFF_S = 30.0


@dataclass(slots=True)
class Carrier:
    """A provider and how it has fared."""

    provider: Provider
    breaker: Breaker
    last_failure: str = ""
    """What it said last when it failed."""

    @classmethod
    def of(cls, provider: Provider, clock: Callable[[], float]) -> "Carrier":
        """Begin with a provider that is trusted."""
        return cls(provider, Breaker(THRESHOLD, COOL_OFF_S, clock))


class Route:
    """The providers in their order.

    The next provider is tried only after a refusal that says that nothing was taken, and that is the provider's own
    trouble; never after Unknown, or people would get a message twice.
    """

    def __init__(self, carriers: Sequence[Carrier]) -> None:
        self._carriers = carriers

    @property
    def can_ask(self) -> bool:
        """Whether any of the providers can be asked what became of a message."""
        return any(isinstance(carrier.provider, Traceable) for carrier in self._carriers)

    async def send(self, message: Message, recipients: Sequence[Recipient], reference: str) -> Mapping[int, Result]:
        """Answer a result for each."""
        results: dict[int, Result] = {}
        left = list(recipients)
        for carrier in self._carriers:
            for_next: list[Recipient] = []
            for at in range(0, len(left), carrier.provider.most):
                for_next += await self._send(
                    carrier, message, left[at : at + carrier.provider.most], reference, results
                )
            left = for_next
        return results

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Ask every provider that may have it; that it is nowhere is certain only where all of them can be asked."""
        results: dict[int, Result] = {}
        left = list(recipients)
        is_certain = is_last and all(isinstance(carrier.provider, Traceable) for carrier in self._carriers)
        for carrier in self._carriers:
            if not left or not isinstance(carrier.provider, Traceable):
                continue
            said = await carrier.provider.trace(job, left, is_last=is_certain)
            for recipient in left:
                before, found = results.get(recipient.n), said.get(recipient.n)
                # Unknown of one provider outweighs "never had it" of another.
                if found is not None and not (isinstance(before, Unknown) and isinstance(found, Again)):
                    results[recipient.n] = found
            left = [one for one in left if isinstance(said.get(one.n), Again | Unknown | None)]
        return results

    async def _send(
        self,
        carrier: Carrier,
        message: Message,
        recipients: Sequence[Recipient],
        reference: str,
        results: dict[int, Result],
    ) -> list[Recipient]:
        """Make one call, and its halves where one number may have spoilt it; return whom the next provider may try."""
        answer = await self._call(carrier, message, recipients, reference)
        if answer.of_one and len(recipients) > 1:
            middle = len(recipients) // 2
            halves = (recipients[:middle], recipients[middle:])
            return [one for half in halves for one in await self._send(carrier, message, half, reference, results)]
        results.update((recipient.n, answer.result) for recipient in recipients)
        return list(recipients) if answer.of_provider and not isinstance(answer.result, Unknown) else []

    async def _call(
        self, carrier: Carrier, message: Message, recipients: Sequence[Recipient], reference: str
    ) -> Answer:
        provider, breaker = carrier.provider, carrier.breaker
        if wait_s := breaker.claim_try():
            why = f"It failed several times in a row, and is not tried for a while. {carrier.last_failure}".strip()
            return Answer(Blocked(provider.name, provider.name, "circuit_open", why, wait_s), of_provider=True)
        answer = await provider.send(message, [recipient.address for recipient in recipients], reference)
        if answer.of_provider:
            breaker.note_failure()
            carrier.last_failure = answer.result.detail or ""
        else:
            breaker.note_success()
        return answer
