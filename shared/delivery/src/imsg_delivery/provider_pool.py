"""A channel's providers: the order in which a message tries them, the fallback to the next, and their statistics."""

from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from imsg_contract.results import Again, Blocked, Concern, Hop, Result, Sent, Unknown
from imsg_delivery.provider_stats import ProviderStats
from imsg_delivery.routes import Facts, Order, Route, Switch
from imsg_limits.retry_after import RetryAfter

MAX_DOUBTFUL = 10_000
"""How many messages are remembered with the provider that may have them."""

SWITCHED_OFF_S = 60.0

OF_MESSAGE: frozenset[Concern] = frozenset({"recipient", "content"})
"""Concerns of failures that another provider would return too."""


@dataclass(slots=True)
class PooledProvider:
    """A provider in the pool: its route, its switch and its statistics."""

    route: Route
    stats: ProviderStats
    switch: Switch = field(default_factory=Switch)

    @property
    def name(self) -> str:
        """Its name in settings, in the API and in the timeline."""
        return self.route.name

    @property
    def is_on(self) -> bool:
        """Whether it is switched on."""
        return self.switch.enabled is not False


SendBatch = Callable[[PooledProvider, Sequence[int]], Awaitable[Mapping[int, Result]]]
"""Sends messages by a provider, given by their numbers, and returns a result for each."""

M_contra = TypeVar("M_contra", contravariant=True)
M = TypeVar("M")


class SupportsSend(Protocol[M_contra]):
    """Sends one message at a time by one provider."""

    def wait_turn(self, message: M_contra, /) -> AbstractAsyncContextManager[Again | None]:
        """Wait for a message's turn and hold it while the context is open.

        Yields None once the message may be sent, else the result for a message that would wait too long.
        """

    async def send(self, message: M_contra, /) -> Result:
        """Send a message that has its turn."""

    def find_outage(self) -> Blocked | None:
        """Return why the provider accepts nothing, and after how long one message may try; None if it answers."""


class ProviderPool:
    """The providers of one channel in their order.

    The next provider is called only after Again or Blocked, since the provider did not accept the message. After
    Unknown none is called, since the recipient could get it twice. After a failure with a concern in `stays` none is.
    """

    def __init__(
        self,
        method: str,
        routes: Sequence[Route],
        clock: Callable[[], float],
        *,
        stays: Collection[Concern] = OF_MESSAGE,
        by_address: bool = False,
    ) -> None:
        """`by_address`: the recipient's address decides, and neither weights nor order do."""
        self.method = method
        self.retry_after = RetryAfter(clock)
        self.clock = clock
        self.by_address = by_address
        self._stays = frozenset(stays)
        self._providers = {route.name: PooledProvider(route, ProviderStats(clock)) for route in routes}
        self._doubtful: OrderedDict[str, str] = OrderedDict()
        """Message → the provider that may have it."""
        self._order = Order(tuple(routes))
        self._fixed = self._fix_order()

    @property
    def all(self) -> Sequence[PooledProvider]:
        """Every provider, in the order of the settings."""
        return list(self._providers.values())

    def find(self, name: str) -> PooledProvider | None:
        """Find a provider."""
        return self._providers.get(name)

    def apply(self, switches: Mapping[str, Switch]) -> None:
        """Apply what administrators have switched, by the providers' names."""
        for provider in self._providers.values():
            provider.switch = switches.get(provider.name, Switch())
        routes = [provider.switch.apply(provider.route) for provider in self._providers.values()]
        self._order = Order(tuple(route for route in routes if route is not None))
        self._fixed = self._fix_order()

    def share(self, name: str) -> float | None:
        """Return a provider's share of the messages; None where conditions or addresses decide."""
        return None if self.by_address else self._order.share(name)

    @property
    def fixed(self) -> Sequence[PooledProvider] | None:
        """The order of all messages, where it is the same for all."""
        return self._fixed

    def rank(self, facts: Facts, forced: str | None = None) -> Sequence[PooledProvider]:
        """Order the providers for a message. A forced one is the only one, switched on or not."""
        if forced is not None:
            provider = self._providers.get(forced)
            return [] if provider is None else [provider]
        if self._fixed is not None:
            return self._fixed
        return [self._providers[route.name] for route in self._order.rank(facts)]

    def refuse(self, what: str, remedy: str) -> Blocked:
        """Return why no provider may be called for a message; `what` describes the message."""
        if self._providers and not any(provider.is_on for provider in self._providers.values()):
            return refuse_switched_off(self.method, ", ".join(self._providers))
        detail = f"No provider is set for {what}; {remedy}."
        return Blocked(self.method, what, "no_route", detail, SWITCHED_OFF_S, concerns="content", was_called=False)

    def find_outage(self, outages: Mapping[str, Blocked | None]) -> Blocked | None:
        """Return why no provider accepts anything, that of the provider to try first; None if one does.

        That is where all are switched off, or where each that is on has an outage in `outages`.
        """
        used = [provider.name for provider in self._providers.values() if provider.is_on]
        if not used and self._providers:
            return refuse_switched_off(self.method, ", ".join(self._providers))
        known = [outage for name in used if (outage := outages.get(name)) is not None]
        return min(known, key=lambda outage: outage.after_s) if known and len(known) == len(used) else None

    async def send(
        self, message: M, facts: Facts, senders: Mapping[str, SupportsSend[M]], forced: str | None = None
    ) -> Result | None:
        """Send one message by the first provider that accepts it; return None where there is no provider for it.

        `senders` send by each provider, by its name. `facts.name` is the message's own, the same at every attempt.
        """
        ranked, is_forced = self.rank(facts, forced), forced is not None
        if len(self._providers) == 1 == len(ranked) and not self._doubtful:
            (provider,), began = ranked, self.clock()
            result = await self._send_by(provider, senders[provider.name], message, is_forced=is_forced)
            provider.stats.record(result, self.clock() - began)
            return result

        async def send_one(provider: PooledProvider, _: Sequence[int]) -> Mapping[int, Result]:
            return {0: await self._send_by(provider, senders[provider.name], message, is_forced=is_forced)}

        return (await self.send_batch(ranked, {0: facts.name}, send_one)).get(0)

    async def _send_by(
        self, provider: PooledProvider, sender: SupportsSend[M], message: M, *, is_forced: bool
    ) -> Result:
        """Send one message in its turn, unless the provider was switched off meanwhile and is not forced."""
        async with sender.wait_turn(message) as delayed:
            if delayed is not None:
                result: Result = delayed
            elif is_forced or provider.is_on:
                result = await sender.send(message)
            else:
                result = refuse_switched_off(self.method, provider.name)
        if not isinstance(result, Sent) and (outage := sender.find_outage()) is not None:
            provider.stats.record(outage)  # during an outage calls wait, so that none would report the block
        return result

    async def send_batch(
        self, ranked: Sequence[PooledProvider], names: Mapping[int, str], send: SendBatch
    ) -> dict[int, Result]:
        """Send messages by the first provider, those that it does not take now by the next; return each result.

        `names` are the messages' own by their numbers, the same at every attempt.
        """
        results: dict[int, Result] = {}
        refusals: dict[int, list[tuple[PooledProvider, Again | Blocked, float]]] = defaultdict(list)
        left: Sequence[int] = list(names)
        for provider in ranked:
            allowed = self._find_allowed(provider, left, names)
            if not allowed:
                continue
            began = self.clock()
            answered = await send(provider, allowed)
            ended = self.clock()
            provider.stats.record_call(ended - began)
            done = set[int]()
            for n in allowed:
                results[n] = result = answered[n]
                provider.stats.record(result)
                self._remember(names[n], provider.name, result)
                if isinstance(result, Again | Blocked) and result.concerns not in self._stays:
                    refusals[n].append((provider, result, ended))
                else:
                    done.add(n)
            left = [n for n in left if n not in done]
            if not left:
                break
        now = self.clock()
        for n, refused in refusals.items():
            results[n] = _join(refused, results[n], now)
        results.update(
            (n, self._wait_for(holder)) for n in left if n not in results and (holder := self._doubtful.get(names[n]))
        )
        return results

    def forget(self, message: str) -> None:
        """Remove the record of which provider may have a message."""
        self._doubtful.pop(message, None)

    def _fix_order(self) -> Sequence[PooledProvider] | None:
        fixed = self._order.fixed
        return None if fixed is None else [self._providers[route.name] for route in fixed]

    def _find_allowed(self, provider: PooledProvider, left: Sequence[int], names: Mapping[int, str]) -> Sequence[int]:
        """Return the messages that no other provider may have."""
        if not self._doubtful:
            return left
        return [n for n in left if self._doubtful.get(names[n], provider.name) == provider.name]

    def _wait_for(self, provider: str) -> Blocked:
        """Return Blocked for a message whose only possible provider is not used now."""
        detail = f"{provider} may have it, and is not used now; no other provider is given it."
        return Blocked(self.method, provider, "held", detail, SWITCHED_OFF_S, concerns="content", was_called=False)

    def _remember(self, message: str, provider: str, result: Result) -> None:
        if isinstance(result, Unknown):
            self._doubtful[message] = provider
            if len(self._doubtful) > MAX_DOUBTFUL:
                self._doubtful.popitem(last=False)
        elif self._doubtful and not isinstance(result, Again | Blocked):
            self._doubtful.pop(message, None)


def refuse_switched_off(method: str, names: str) -> Blocked:
    """Return the block of providers that are switched off, with the remedy."""
    detail = f"Switched off: {names}; the channel's page and `imsg providers enable` switch it on."
    return Blocked(method, names, "switched_off", detail, SWITCHED_OFF_S, concerns="provider", was_called=False)


def _join(refused: Sequence[tuple[PooledProvider, Again | Blocked, float]], last: Result, now: float) -> Result:
    """Make one result of several: the last, or of refusals alone an Again if there is one, with the shortest wait."""
    if refused[-1][1] is not last:
        return replace(last, hops=_hops(refused, now))
    if len(refused) == 1:
        return last
    results = [result for _, result, _ in refused]
    chosen = next((result for result in results if isinstance(result, Again)), results[0])
    detail = "; ".join(f"{provider.name}: {result.code} {result.detail}" for provider, result, _ in refused)
    hops = _hops([refusal for refusal in refused if refusal[1] is not chosen], now)
    after_s, was_called = min(result.after_s for result in results), any(result.was_called for result in results)
    return replace(chosen, detail=detail, after_s=after_s, was_called=was_called, hops=hops)


def _hops(refused: Sequence[tuple[PooledProvider, Again | Blocked, float]], now: float) -> tuple[Hop, ...]:
    return tuple(Hop(provider.name, result.code, result.detail, now - at) for provider, result, at in refused)
