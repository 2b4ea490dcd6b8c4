"""Chooses the provider of a message by `imsg_delivery.routes`, past those that are down, and makes its calls."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from imsg_contract.wire import Again, Blocked, Concern, Job, Recipient, Refused, Result, Sent, Unknown, message_id
from imsg_delivery.provider_pool import Provider as PoolEntry
from imsg_delivery.provider_pool import ProviderPool, refuse_switched_off
from imsg_delivery.routes import Facts
from imsg_delivery.routes import Route as ProviderRoute
from imsg_limits.breakers import Breakers
from imsg_runtime.settings import variable
from imsg_sms.bad_numbers import Search, SearchBudget, spread
from imsg_sms.countries import MAINLAND, show
from imsg_sms.providers import Answer, Provider, Traceable
from imsg_sms.templates import SCOPE, Message, takes

AT_ONCE = 8
"""Calls of one chunk side by side, to a provider that takes few numbers in one."""

STAYS: frozenset[Concern] = frozenset({"recipient", "content"})
"""Errors after which no other provider is tried: it would meet the same error, or send past a limit."""

PACED_S = 1.0
"""How long a provider that says "too often" of all, and not until when, is given nothing."""

AWAY_S = 5.0
"""How long a provider that can't be reached, or has no room, is left alone before one call tries it."""

TURN_S = 60.0
"""A longer wait than for a minute's limit is part of a message's attempts and life."""


class Route:
    """The providers of the channel, each with its circuit breakers."""

    def __init__(
        self,
        providers: Sequence[Provider],
        clock: Callable[[], float],
        *,
        routes: Mapping[str, ProviderRoute] | None = None,
        known: frozenset[str] = frozenset(),
    ) -> None:
        """`routes` say what each provider is for: if not said the first carries all, the others what it can't.

        `known` are the templates that some provider describes: who does not is passed by.
        """
        self._providers = {provider.name: provider for provider in providers}
        self._breakers = {name: Breakers(name, clock, away_s=AWAY_S) for name in self._providers}
        given = routes or {}
        ordered = [
            given.get(name, ProviderRoute(name, weight=int(place == 0))) for place, name in enumerate(self._providers)
        ]
        self.provider_pool = ProviderPool(SCOPE, ordered, clock, stays=STAYS)
        self._known = known

    @property
    def can_ask(self) -> bool:
        """Whether any of the providers can be asked what became of a message."""
        return any(isinstance(provider, Traceable) for provider in self._providers.values())

    def find_outage(self) -> Blocked | None:
        """Say why no provider that is switched on takes anything."""
        return self.provider_pool.find_outage(lambda name: self._breakers[name].find_outage())

    async def send(self, message: Message, recipients: Sequence[Recipient], job: Job) -> Mapping[int, Result]:
        """Answer a result for each."""
        results: dict[int, Result] = {}
        for fit, some in self._group(message, recipients, job):
            by_number = {recipient.n: recipient for recipient in some}

            async def call(
                entry: PoolEntry, ns: Sequence[int], by_number: Mapping[int, Recipient] = by_number
            ) -> Mapping[int, Result]:
                return await self._send_all(entry, message, [by_number[n] for n in ns], job)

            names = {n: message_id(job.request, n) for n in by_number}
            said = await self.provider_pool.send_batch(fit, names, call)
            for n, recipient in by_number.items():
                results[n] = said.get(n) or self._explain_no_provider(recipient, message, job)
        return results

    def _group(
        self, message: Message, recipients: Sequence[Recipient], job: Job
    ) -> Iterator[tuple[Sequence[PoolEntry], Sequence[Recipient]]]:
        """Group recipients with the same providers; those that take not the message or not the number are left out."""
        takers = {name for name, provider in self._providers.items() if self._takes(provider, message)}
        groups: dict[tuple[str, ...], tuple[Sequence[PoolEntry], list[Recipient]]] = {}
        for recipient in recipients:
            ranked = self._rank(recipient, message, job)
            fit = [one for one in ranked if one.name in takers and self._reaches(one.name, recipient)]
            groups.setdefault(tuple(entry.name for entry in fit), (fit, []))[1].append(recipient)
        yield from groups.values()

    def _rank(self, recipient: Recipient, message: Message, job: Job) -> Sequence[PoolEntry]:
        """Order the providers by what the settings and administrators say of such a message."""
        if self.provider_pool.fixed is not None or job.provider is not None:
            return self.provider_pool.rank(Facts(""), job.provider)
        facts = Facts(
            message_id(job.request, recipient.n),
            address=recipient.address,
            template=message.template,
            category=job.category,
        )
        return self.provider_pool.rank(facts)

    def _explain_no_provider(self, recipient: Recipient, message: Message, job: Job) -> Result:
        if job.provider is not None and job.provider not in self._providers:
            why = f"There is no provider {job.provider}; there are {', '.join(self._providers)}."
            return Refused(SCOPE, "no_provider", why, concerns="content")
        if (abroad := self._refuse_country(recipient, job.provider)) is not None:
            return abroad
        if any(self._reaches(one.name, recipient) for one in self._rank(recipient, message, job)):
            why = "No provider that is configured takes this template, or a text so long."
            return Refused(SCOPE, "no_provider", why, concerns="content")
        number = f"{job.category.value} by {message.template or 'no template'} to {recipient.address[:3]}…"
        return self.provider_pool.refuse(number, f"give one of {variable('sms', 'routes')} these conditions, or none")

    def _refuse_country(self, recipient: Recipient, forced: str | None) -> Refused | None:
        """Say that no provider takes the numbers of a country, though all were switched on; None where one does."""
        asked = self._providers if forced is None else [forced]
        if any(self._reaches(name, recipient) for name in asked):
            return None
        taken = "; ".join(f"{name} takes {show(self._providers[name].countries)}" for name in asked)
        why = f"No provider takes numbers such as {recipient.address[:4]}…, by its setting `countries`: {taken}."
        return Refused(SCOPE, "country_not_taken", why, concerns="recipient")

    def _reaches(self, provider: str, recipient: Recipient) -> bool:
        return recipient.address.startswith(self._providers[provider].countries)

    def _takes(self, provider: Provider, message: Message) -> bool:
        return takes(provider.limits, message, takes_text=provider.takes_text, is_known=message.template in self._known)

    async def _send_all(
        self, entry: PoolEntry, message: Message, recipients: Sequence[Recipient], job: Job
    ) -> Mapping[int, Result]:
        """Make the calls that a provider needs for all of them, and search for the numbers that spoil some of these."""
        provider = self._providers[entry.name]
        results, allowed = self._throttle(provider.name, recipients)
        slots = asyncio.Semaphore(AT_ONCE)
        budget = SearchBudget()
        searches: list[Search] = []

        def is_used() -> bool:
            return entry.is_on or job.provider == entry.name

        async def call(numbers: Sequence[Recipient]) -> Answer:
            return await provider.send(message, [recipient.address for recipient in numbers], job.name)

        async def send(batch: Sequence[Recipient]) -> None:
            async with slots:
                # The provider may have been switched off since the first of these calls.
                off = None if is_used() else refuse_switched_off(SCOPE, entry.name)
                if (block := off or self._find_block(provider, message, batch, job)) is not None:
                    results.update((recipient.n, block) for recipient in batch)
                    return
                answer = await call(batch)
                if answer.of_one and len(batch) > 1:
                    searches.append(Search(batch, answer, budget))
                    return
                budget.note_accepted(len(batch) if isinstance(answer.result, Sent) else 0)
                results.update(self._settle(provider, message, job, await _narrow(call, batch, answer)))

        async def search(one: Search) -> None:
            async with slots:
                while is_used() and (numbers := one.find_next()) is not None:
                    one.note(numbers, await call(numbers))

        await asyncio.gather(*map(send, _split(provider, allowed)))
        await asyncio.gather(*map(search, spread(searches)))
        for one in searches:
            results.update(self._settle(provider, message, job, list(one.answers)))
        return results

    def _throttle(
        self, provider: str, recipients: Sequence[Recipient]
    ) -> tuple[dict[int, Result], Sequence[Recipient]]:
        """Leave out whom the provider wants to be given nothing for now, and say so."""
        retry_after = self.provider_pool.retry_after
        if not retry_after:
            return {}, recipients
        results: dict[int, Result] = {}
        whole_s = retry_after.wait_s(provider)
        for recipient in recipients:
            if (left_s := max(whole_s, retry_after.wait_s(provider, recipient.address))) > 0:
                concerns: Concern = "provider" if left_s == whole_s else "recipient"
                detail = f"{provider} said too often; it is asked again in {left_s:.0f} s."
                is_paced = left_s <= TURN_S
                results[recipient.n] = Again(
                    provider, "paced", detail, left_s, concerns, is_paced=is_paced, was_called=False
                )
        return results, [recipient for recipient in recipients if recipient.n not in results]

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Ask whichever provider may have it; that it is nowhere is certain only where each of them can be asked."""
        results: dict[int, Result] = {}
        left = list(recipients)
        named = job.taken_by or job.provider
        suspected = [one for name, one in self._providers.items() if named in (None, name)]
        is_certain = is_last and all(isinstance(provider, Traceable) for provider in suspected)
        for provider in suspected:
            if not left or not isinstance(provider, Traceable):
                continue
            said = await provider.trace(job, left, is_last=is_certain)
            for recipient in left:
                before, found = results.get(recipient.n), said.get(recipient.n)
                # Unknown of one provider outweighs "never had it" of another.
                if found is not None and not (isinstance(before, Unknown) and isinstance(found, Again)):
                    results[recipient.n] = found
                    if isinstance(found, Again):
                        self.provider_pool.forget(message_id(job.request, recipient.n))
            left = [one for one in left if isinstance(said.get(one.n), Again | Unknown | None)]
        return results

    def _find_block(self, provider: Provider, message: Message, batch: Sequence[Recipient], job: Job) -> Blocked | None:
        """Say why a batch is not to be called for now."""
        names = [message_id(job.request, recipient.n) for recipient in batch]
        return self._breakers[provider.name].find_block(_about(provider, message), names)

    def _settle(
        self, provider: Provider, message: Message, job: Job, answers: Sequence[tuple[Recipient, Answer]]
    ) -> Mapping[int, Result]:
        """Turn answers into results, and note them at the breakers; one answer for many numbers is noted once."""
        breakers, about = self._breakers[provider.name], _about(provider, message)
        results: dict[int, Result] = {}
        noted: set[int] = set()
        # Accepted numbers come first: they show that a refusal in the same call belongs to its own message.
        for recipient, answer in sorted(answers, key=lambda each: not isinstance(each[1].result, Sent)):
            name = message_id(job.request, recipient.n)
            result = self._read_result(provider.name, recipient, name, answer)
            if answer.wants_less:
                breakers.note_answer()
            elif isinstance(result, Blocked | Sent) or id(answer) not in noted:
                result = breakers.note(about, result, name)
            noted.add(id(answer))
            results[recipient.n] = result
        if (outage := breakers.find_outage()) is not None and (entry := self.provider_pool.find(provider.name)):
            entry.stats.note(outage)  # during an outage no call is made that could be counted
        return results

    def _read_result(self, provider: str, recipient: Recipient, name: str, answer: Answer) -> Result:
        """Say what a trouble concerns; who was told "too often" waits for the next turn, and uses up no attempt."""
        result = answer.result
        if isinstance(result, Sent) or answer.concerns is None:
            return result
        if isinstance(result, Again) and answer.wants_less:
            after_s = result.after_s or PACED_S
            if answer.concerns == "recipient":
                self.provider_pool.retry_after.set(provider, recipient.address, after_s)
            elif answer.concerns != "content":
                self.provider_pool.retry_after.set_all(provider, after_s, name)
            return replace(result, after_s=after_s, concerns=answer.concerns, is_paced=after_s <= TURN_S)
        return replace(result, concerns=answer.concerns)


Call = Callable[[Sequence[Recipient]], Awaitable[Answer]]


async def _narrow(call: Call, batch: Sequence[Recipient], answer: Answer) -> Sequence[tuple[Recipient, Answer]]:
    """Call again for each half of a batch that was refused whole, until both halves of one are refused alike."""
    if len(batch) == 1 or not answer.is_refused_whole:
        return [(recipient, answer.each.get(recipient.address, answer)) for recipient in batch]
    halves = batch[: len(batch) // 2], batch[len(batch) // 2 :]
    answers = [await call(half) for half in halves]
    if all(each.is_refused_whole for each in answers):
        return [(recipient, each) for half, each in zip(halves, answers, strict=True) for recipient in half]
    return [*await _narrow(call, halves[0], answers[0]), *await _narrow(call, halves[1], answers[1])]


def _about(provider: Provider, message: Message) -> Mapping[Concern, str]:
    name = message.template
    if message.is_free:
        name = next((each for each, one in provider.limits.items() if one.default), "")
    limits = provider.limits.get(name)
    return {"template": name, "signature": "" if limits is None else limits.signature}


def _split(provider: Provider, recipients: Sequence[Recipient]) -> Iterator[Sequence[Recipient]]:
    """Cut recipients into what one call takes."""
    groups: Sequence[Sequence[Recipient]] = [recipients]
    if not provider.mixes_countries:
        at_home = [one for one in recipients if one.address.startswith(MAINLAND)]
        groups = [at_home, [one for one in recipients if not one.address.startswith(MAINLAND)]]
    for group in groups:
        for at in range(0, len(group), provider.most):
            yield group[at : at + provider.most]
