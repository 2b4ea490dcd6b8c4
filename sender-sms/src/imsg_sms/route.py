"""Which firm carries a message: in their order, past those that are down, and one bad number never fails the rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imsg_contract.wire import Again, Blocked, Job, Recipient, Result, Unknown
from imsg_delivery.circuit_breaker import Breaker
from imsg_sms.providers import Answer, Firm, Traceable
from imsg_sms.templates import Message

THRESHOLD = 5
"""Failures of a firm in a row after which it is left alone."""

COOL_OFF_S = 30.0


@dataclass(slots=True)
class Carrier:
    """A firm and how it has fared."""

    firm: Firm
    breaker: Breaker
    last_failure: str = ""
    """What it said last when it failed."""

    @classmethod
    def of(cls, firm: Firm, clock: Callable[[], float]) -> "Carrier":
        """Begin with a firm that is trusted."""
        return cls(firm, Breaker(THRESHOLD, COOL_OFF_S, clock))


class Route:
    """The firms in their order.

    The next firm is tried only after a refusal that says that nothing was taken, and that is the firm's own trouble;
    never after Unknown, or people would get a message twice.
    """

    def __init__(self, carriers: Sequence[Carrier]) -> None:
        self._carriers = carriers

    @property
    def can_ask(self) -> bool:
        """Whether any of the firms can be asked what became of a message."""
        return any(isinstance(carrier.firm, Traceable) for carrier in self._carriers)

    async def send(self, message: Message, recipients: Sequence[Recipient], reference: str) -> Mapping[int, Result]:
        """Answer a result for each."""
        results: dict[int, Result] = {}
        left = list(recipients)
        for carrier in self._carriers:
            for_next: list[Recipient] = []
            for at in range(0, len(left), carrier.firm.most):
                for_next += await self._send(carrier, message, left[at : at + carrier.firm.most], reference, results)
            left = for_next
        return results

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Ask every firm that may have it; that it is nowhere is certain only where all of them can be asked."""
        results: dict[int, Result] = {}
        left = list(recipients)
        is_certain = is_last and all(isinstance(carrier.firm, Traceable) for carrier in self._carriers)
        for carrier in self._carriers:
            if not left or not isinstance(carrier.firm, Traceable):
                continue
            said = await carrier.firm.trace(job, left, is_last=is_certain)
            for recipient in left:
                before, found = results.get(recipient.n), said.get(recipient.n)
                # Unknown of one firm outweighs "never had it" of another.
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
        """Make one call, and its halves where one number may have spoilt it; return whom the next firm may try."""
        answer = await self._call(carrier, message, recipients, reference)
        if answer.of_one and len(recipients) > 1:
            middle = len(recipients) // 2
            halves = (recipients[:middle], recipients[middle:])
            return [one for half in halves for one in await self._send(carrier, message, half, reference, results)]
        results.update((recipient.n, answer.result) for recipient in recipients)
        return list(recipients) if answer.of_firm and not isinstance(answer.result, Unknown) else []

    async def _call(
        self, carrier: Carrier, message: Message, recipients: Sequence[Recipient], reference: str
    ) -> Answer:
        firm, breaker = carrier.firm, carrier.breaker
        if wait_s := breaker.blocked_for():
            why = f"It failed several times in a row, and is not tried for a while. {carrier.last_failure}".strip()
            return Answer(Blocked(firm.name, firm.name, "circuit_open", why, wait_s), of_firm=True)
        answer = await firm.send(message, [recipient.address for recipient in recipients], reference)
        if answer.of_firm:
            breaker.failed()
            carrier.last_failure = answer.result.detail or ""
        else:
            breaker.succeeded()
        return answer
