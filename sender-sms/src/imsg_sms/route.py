"""Which provider carries a message: in order, past those that are down; one bad number never fails the rest."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result, Unknown
from imsg_delivery.circuit_breaker import Breaker
from imsg_sms.providers import Answer, Concern, Provider, Traceable
from imsg_sms.templates import SCOPE, Message, takes

THRESHOLD = 5
"""Failures of a provider in a row after which it is left alone."""

COOL_OFF_S = 30.0

AT_ONCE = 8
"""Calls of one chunk side by side, to a provider that takes few numbers in one."""

MOST_BREAKERS = 256
"""Templates of a provider whose trouble is remembered; beyond, the oldest is forgotten."""

MAINLAND = "+86"


@dataclass(slots=True)
class Carrier:
    """A provider and how it has fared: as a whole, and with each template that gave trouble."""

    provider: Provider
    clock: Callable[[], float]
    breakers: dict[str, Breaker] = field(default_factory=dict)
    last_failures: dict[str, str] = field(default_factory=dict)
    """What it said last when it failed, by the scope of the trouble."""

    @classmethod
    def of(cls, provider: Provider, clock: Callable[[], float]) -> "Carrier":
        """Begin with a provider that is trusted."""
        return cls(provider, clock)

    def claim_try(self, message: Message) -> Answer | None:
        """Ask before a call; the answer instead of a call where the provider, or this template of it, is left alone."""
        for scope in (self.provider.name, self._template(message)):
            breaker = self.breakers.get(scope)
            if breaker is not None and (wait_s := breaker.claim_try()):
                why = f"It failed several times in a row, and is not tried for a while. {self.last_failures[scope]}"
                concerns: Concern = "provider" if scope == self.provider.name else "template"
                return Answer(Blocked(self.provider.name, scope, "circuit_open", why.strip(), wait_s), concerns)
        return None

    def note(self, message: Message, answer: Answer) -> None:
        """Count what came of a call, for the scope that its trouble concerns alone."""
        whole, template = self.provider.name, self._template(message)
        troubled = next((one for one in (answer, *answer.each.values()) if one.of_route), None)
        if troubled is None:
            for scope in (whole, template):
                if scope in self.breakers:
                    self.breakers[scope].note_success()
            return
        scope = template if troubled.concerns in ("template", "signature") else whole
        if scope not in self.breakers:
            while len(self.breakers) >= MOST_BREAKERS:
                oldest = next(iter(self.breakers))
                del self.breakers[oldest]
            self.breakers[scope] = Breaker(THRESHOLD, COOL_OFF_S, self.clock)
        self.breakers[scope].note_failure()
        self.last_failures[scope] = getattr(troubled.result, "detail", None) or ""
        if scope == template and whole in self.breakers:
            self.breakers[whole].note_success()

    def _template(self, message: Message) -> str:
        return f"{self.provider.name} template {'' if message.is_free else message.template}"


class Route:
    """The providers in their order.

    The next provider is tried only after a refusal that says that nothing was taken, and that is the provider's own
    trouble; never after Unknown, or people would get a message twice.
    """

    def __init__(self, carriers: Sequence[Carrier], known: frozenset[str] = frozenset()) -> None:
        self._carriers = carriers
        self._known = known
        """The templates that some provider describes: who does not is passed by."""

    @property
    def can_ask(self) -> bool:
        """Whether any of the providers can be asked what became of a message."""
        return any(isinstance(carrier.provider, Traceable) for carrier in self._carriers)

    async def send(self, message: Message, recipients: Sequence[Recipient], reference: str) -> Mapping[int, Result]:
        """Answer a result for each."""
        results: dict[int, Result] = {}
        left = list(recipients)
        for carrier in self._carriers:
            if not left or not self._takes(carrier, message):
                continue
            left = await self._send_all(carrier, message, left, reference, results)
        for recipient in left:
            results.setdefault(
                recipient.n,
                Refused(SCOPE, "no_provider", "No provider that is configured takes this template, or a text so long."),
            )
        return results

    def _takes(self, carrier: Carrier, message: Message) -> bool:
        provider = carrier.provider
        return takes(provider.limits, message, takes_text=provider.takes_text, is_known=message.template in self._known)

    async def _send_all(
        self,
        carrier: Carrier,
        message: Message,
        recipients: Sequence[Recipient],
        reference: str,
        results: dict[int, Result],
    ) -> list[Recipient]:
        """Make the calls that a provider needs for all of them; return whom the next provider may try."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(some: Sequence[Recipient]) -> list[Recipient]:
            async with slots:
                return await self._send(carrier, message, some, reference, results)

        calls = [one(some) for some in _split(carrier.provider, recipients)]
        return [each for some in await asyncio.gather(*calls) for each in some]

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
        for_next = []
        for recipient in recipients:
            said = answer.each.get(recipient.address, answer)
            results[recipient.n] = said.result
            if said.of_route and not isinstance(said.result, Unknown):
                for_next.append(recipient)
        return for_next

    async def _call(
        self, carrier: Carrier, message: Message, recipients: Sequence[Recipient], reference: str
    ) -> Answer:
        if (left_alone := carrier.claim_try(message)) is not None:
            return left_alone
        answer = await carrier.provider.send(message, [recipient.address for recipient in recipients], reference)
        carrier.note(message, answer)
        return answer


def _split(provider: Provider, recipients: Sequence[Recipient]) -> Iterator[Sequence[Recipient]]:
    """Cut recipients into what one call takes."""
    groups: Sequence[Sequence[Recipient]] = [recipients]
    if not provider.is_mixing:
        at_home = [one for one in recipients if one.address.startswith(MAINLAND)]
        groups = [at_home, [one for one in recipients if not one.address.startswith(MAINLAND)]]
    for group in groups:
        for at in range(0, len(group), provider.most):
            yield group[at : at + provider.most]
