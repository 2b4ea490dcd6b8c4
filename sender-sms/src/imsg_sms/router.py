"""Sends each message by the providers of its route, and by the next one if a provider fails."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from imsg_contract.results import Again, Blocked, Concern, Refused, Result, Sent, Unknown
from imsg_contract.wire import Job, Recipient, message_id
from imsg_delivery.provider_pool import PooledProvider, ProviderPool, refuse_switched_off
from imsg_delivery.routes import Facts, Route
from imsg_limits.breakers import Breakers
from imsg_runtime.settings import variable
from imsg_sms.bad_numbers import BadNumberSearch, SearchBudget, spread
from imsg_sms.countries import MAINLAND, format_countries
from imsg_sms.providers import ProviderReply, SmsProvider, Traceable
from imsg_sms.templates import SCOPE, Message, bracket, can_send

MAX_CONCURRENT_CALLS = 8
"""Concurrent calls of one chunk to one provider."""

NO_FALLBACK: frozenset[Concern] = frozenset({"recipient", "content"})
"""Errors after which no other provider is tried: it would return the same error, or circumvent a limit."""

RATE_LIMIT_RETRY_S = 1.0
"""How long an account over its rate limit gets no call, if the provider names no time."""

UNREACHABLE_RETRY_S = 5.0
"""How long an unreachable provider gets no call, until one call probes it."""

MAX_PACED_S = 60.0
"""A longer wait for a rate limit uses up an attempt of the message."""


class SmsRouter:
    """The providers of the channel, each with its circuit breakers."""

    def __init__(
        self,
        providers: Sequence[SmsProvider],
        clock: Callable[[], float],
        *,
        routes: Mapping[str, Route] | None = None,
        known: frozenset[str] = frozenset(),
    ) -> None:
        """Route messages by `routes`; a provider without one has weight 1 if it is the first, else 0.

        `known` are the templates that any provider describes. A provider without one of these can't send it.
        """
        self._providers = {provider.name: provider for provider in providers}
        self._breakers = {name: Breakers(name, clock, again_cool_off_s=UNREACHABLE_RETRY_S) for name in self._providers}
        by_name = routes or {}
        ordered = [by_name.get(name, Route(name, weight=int(place == 0))) for place, name in enumerate(self._providers)]
        self.provider_pool = ProviderPool(SCOPE, ordered, clock, stays=NO_FALLBACK)
        self._known = known

    @property
    def can_query_status(self) -> bool:
        """Whether any provider can be asked for the status of a message."""
        return any(isinstance(provider, Traceable) for provider in self._providers.values())

    def find_outage(self) -> Blocked | None:
        """Return why no enabled provider can send; None if one can."""
        return self.provider_pool.find_outage({name: breaker.find_outage() for name, breaker in self._breakers.items()})

    async def send(self, message: Message, recipients: Sequence[Recipient], job: Job) -> Mapping[int, Result]:
        """Send a message to recipients; return a result for each `n`."""
        results: dict[int, Result] = {}
        for allowed, group in self._group(message, recipients, job):
            by_number = {recipient.n: recipient for recipient in group}

            async def call(
                pooled: PooledProvider, ns: Sequence[int], by_number: Mapping[int, Recipient] = by_number
            ) -> Mapping[int, Result]:
                return await self._send_all(pooled, message, [by_number[n] for n in ns], job)

            names = {n: message_id(job.request, n) for n in by_number}
            sent = await self.provider_pool.send_batch(allowed, names, call)
            for n, recipient in by_number.items():
                results[n] = sent.get(n) or self._explain_no_provider(recipient, message, job)
        return results

    def _group(
        self, message: Message, recipients: Sequence[Recipient], job: Job
    ) -> Iterator[tuple[Sequence[PooledProvider], Sequence[Recipient]]]:
        """Group recipients by the providers that can send them the message, in the order of preference."""
        capable = {name for name, provider in self._providers.items() if self._can_send(provider, message)}
        groups: dict[tuple[str, ...], tuple[Sequence[PooledProvider], list[Recipient]]] = {}
        for recipient in recipients:
            ranked = self._rank(recipient, message, job)
            allowed = [pooled for pooled in ranked if pooled.name in capable and self._accepts(pooled.name, recipient)]
            groups.setdefault(tuple(pooled.name for pooled in allowed), (allowed, []))[1].append(recipient)
        yield from groups.values()

    def _rank(self, recipient: Recipient, message: Message, job: Job) -> Sequence[PooledProvider]:
        """Order the providers for a recipient by their routes and the administrators' switches."""
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
        if (refusal := self._refuse_country(recipient, job.provider)) is not None:
            return refusal
        if any(self._accepts(pooled.name, recipient) for pooled in self._rank(recipient, message, job)):
            why = "No provider that is configured takes this template, or a text so long."
            if message.signature:
                why = "No provider that is configured takes this template, this signature, or a text so long."
            return Refused(SCOPE, "no_provider", why, concerns="content")
        condition = f"{job.category.value} by {message.template or 'no template'} to {recipient.address[:3]}…"
        return self.provider_pool.refuse(
            condition, f"give one of {variable('sms', 'routes')} these conditions, or none"
        )

    def _refuse_country(self, recipient: Recipient, forced: str | None) -> Refused | None:
        """Refuse a number whose country no provider accepts, even if all were enabled; None if one does."""
        names = self._providers if forced is None else [forced]
        if any(self._accepts(name, recipient) for name in names):
            return None
        accepted = "; ".join(f"{name} takes {format_countries(self._providers[name].countries)}" for name in names)
        why = f"No provider takes numbers such as {recipient.address[:4]}…, by its setting `countries`: {accepted}."
        return Refused(SCOPE, "country_not_taken", why, concerns="recipient")

    def _accepts(self, provider: str, recipient: Recipient) -> bool:
        return recipient.address.startswith(self._providers[provider].countries)

    def _can_send(self, provider: SmsProvider, whole: Message) -> bool:
        message = whole.at(provider.name)
        if message is not None and message.signature and not provider.takes_signature:
            return False
        return message is not None and can_send(
            provider.limits, message, takes_text=provider.takes_text, is_known=message.template in self._known
        )

    async def _send_all(
        self, pooled: PooledProvider, message: Message, recipients: Sequence[Recipient], job: Job
    ) -> Mapping[int, Result]:
        """Call a provider for all recipients in batches, and search refused batches for their bad numbers."""
        provider = self._providers[pooled.name]
        message = message.at(pooled.name) or message
        results, unthrottled = self._throttle(provider.name, recipients)
        slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        budget = SearchBudget()
        searches: list[BadNumberSearch] = []

        def is_enabled() -> bool:
            return pooled.is_on or job.provider == pooled.name

        async def call(numbers: Sequence[Recipient]) -> ProviderReply:
            return await provider.send(message, [recipient.address for recipient in numbers], job.name)

        async def send(batch: Sequence[Recipient]) -> None:
            async with slots:
                # The provider may have been switched off since the first of these calls.
                switched_off = None if is_enabled() else refuse_switched_off(SCOPE, pooled.name)
                if (block := switched_off or self._find_block(provider, message, batch, job)) is not None:
                    results.update((recipient.n, block) for recipient in batch)
                    return
                reply = await call(batch)
                if reply.for_one_number and len(batch) > 1:
                    searches.append(BadNumberSearch(batch, reply, budget))
                    return
                budget.count_accepted(len(batch) if isinstance(reply.result, Sent) else 0)
                results.update(self._settle(provider, message, job, await _narrow(call, batch, reply)))

        async def run_search(search: BadNumberSearch) -> None:
            async with slots:
                while is_enabled() and (numbers := search.find_next()) is not None:
                    search.record(numbers, await call(numbers))

        await asyncio.gather(*map(send, _split(provider, unthrottled)))
        await asyncio.gather(*map(run_search, spread(searches)))
        for search in searches:
            results.update(self._settle(provider, message, job, list(search.replies)))
        return results

    def _throttle(
        self, provider: str, recipients: Sequence[Recipient]
    ) -> tuple[dict[int, Result], Sequence[Recipient]]:
        """Return results for recipients whose calls must wait for a rate limit, and the other recipients."""
        retry_after = self.provider_pool.retry_after
        if not retry_after:
            return {}, recipients
        results: dict[int, Result] = {}
        account_s = retry_after.wait_s(provider)
        for recipient in recipients:
            if (left_s := max(account_s, retry_after.wait_s(provider, recipient.address))) > 0:
                concerns: Concern = "provider" if left_s == account_s else "recipient"
                detail = f"{provider} reported a rate limit; it is called again in {left_s:.0f} s."
                is_paced = left_s <= MAX_PACED_S
                results[recipient.n] = Again(
                    provider, "paced", detail, left_s, concerns, is_paced=is_paced, was_called=False
                )
        return results, [recipient for recipient in recipients if recipient.n not in results]

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Query the providers that may have the messages; return their results.

        "Never received" is certain only if all of them can be queried.
        """
        results: dict[int, Result] = {}
        pending = list(recipients)
        forced = job.taken_by or job.provider
        candidates = [provider for name, provider in self._providers.items() if forced in (None, name)]
        is_certain = is_last and all(isinstance(provider, Traceable) for provider in candidates)
        for provider in candidates:
            if not pending or not isinstance(provider, Traceable):
                continue
            traced = await provider.trace(job, pending, is_last=is_certain)
            for recipient in pending:
                before, result = results.get(recipient.n), traced.get(recipient.n)
                # One provider's Unknown outweighs another's "never received".
                if result is not None and not (isinstance(before, Unknown) and isinstance(result, Again)):
                    results[recipient.n] = result
                    if isinstance(result, Again):
                        self.provider_pool.forget(message_id(job.request, recipient.n))
            pending = [
                recipient for recipient in pending if isinstance(traced.get(recipient.n), Again | Unknown | None)
            ]
        return results

    def _find_block(
        self, provider: SmsProvider, message: Message, batch: Sequence[Recipient], job: Job
    ) -> Blocked | None:
        """Return why a batch must not be sent now, by the circuit breakers; None if it may."""
        names = [message_id(job.request, recipient.n) for recipient in batch]
        return self._breakers[provider.name].find_block(_find_template_and_signature(provider, message), names)

    def _settle(
        self, provider: SmsProvider, message: Message, job: Job, replies: Sequence[tuple[Recipient, ProviderReply]]
    ) -> Mapping[int, Result]:
        """Return the results of replies, and record them at the breakers; one reply for many numbers counts once."""
        breakers, about = self._breakers[provider.name], _find_template_and_signature(provider, message)
        results: dict[int, Result] = {}
        recorded: set[int] = set()
        # Accepted numbers come first: they show that a refusal in the same call belongs to its own message.
        for recipient, reply in sorted(replies, key=lambda pair: not isinstance(pair[1].result, Sent)):
            name = message_id(job.request, recipient.n)
            result = self._read_result(provider.name, recipient, name, reply)
            if reply.is_rate_limited:
                breakers.record_answer()
            elif isinstance(result, Blocked | Sent) or id(reply) not in recorded:
                result = breakers.record_result(about, result, name)
            recorded.add(id(reply))
            results[recipient.n] = result
        if (outage := breakers.find_outage()) is not None and (pooled := self.provider_pool.find(provider.name)):
            pooled.stats.record(outage)  # during an outage no call is made that could be counted
        return results

    def _read_result(self, provider: str, recipient: Recipient, name: str, reply: ProviderReply) -> Result:
        """Return the result of a reply, with what an error concerns; record the wait of a rate limit."""
        result = reply.result
        if isinstance(result, Sent) or reply.concerns is None:
            return result
        if isinstance(result, Again) and reply.is_rate_limited:
            after_s = result.after_s or RATE_LIMIT_RETRY_S
            if reply.concerns == "recipient":
                self.provider_pool.retry_after.set(provider, recipient.address, after_s)
            elif reply.concerns != "content":
                self.provider_pool.retry_after.set_all(provider, after_s, name)
            return replace(result, after_s=after_s, concerns=reply.concerns, is_paced=after_s <= MAX_PACED_S)
        return replace(result, concerns=reply.concerns)


Call = Callable[[Sequence[Recipient]], Awaitable[ProviderReply]]


async def _narrow(
    call: Call, batch: Sequence[Recipient], reply: ProviderReply
) -> Sequence[tuple[Recipient, ProviderReply]]:
    """Return the reply for each number; call again for the halves of a refused batch until both are refused alike."""
    if len(batch) == 1 or not reply.is_refused_whole:
        return [(recipient, reply.by_number.get(recipient.address, reply)) for recipient in batch]
    halves = batch[: len(batch) // 2], batch[len(batch) // 2 :]
    replies = [await call(half) for half in halves]
    if all(reply.is_refused_whole for reply in replies):
        return [(recipient, reply) for half, reply in zip(halves, replies, strict=True) for recipient in half]
    return [*await _narrow(call, halves[0], replies[0]), *await _narrow(call, halves[1], replies[1])]


def _find_template_and_signature(provider: SmsProvider, message: Message) -> Mapping[Concern, str]:
    name = message.template
    if message.is_free_text:
        name = next((template for template, limits in provider.limits.items() if limits.default), "")
    limits = provider.limits.get(name)
    own = "" if limits is None else limits.signature
    return {"template": name, "signature": bracket(message.signature) or own}


def _split(provider: SmsProvider, recipients: Sequence[Recipient]) -> Iterator[Sequence[Recipient]]:
    """Split recipients into batches of one call each."""
    groups: Sequence[Sequence[Recipient]] = [recipients]
    if not provider.mixes_countries:
        mainland = [recipient for recipient in recipients if recipient.address.startswith(MAINLAND)]
        groups = [mainland, [recipient for recipient in recipients if not recipient.address.startswith(MAINLAND)]]
    for group in groups:
        for at in range(0, len(group), provider.max_numbers):
            yield group[at : at + provider.max_numbers]
