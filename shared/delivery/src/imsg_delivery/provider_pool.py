"""A channel's providers: whom a message is handed to, who is next where one says not now, and how each fares."""

from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imsg_contract.wire import Again, Blocked, Concern, Hop, Result, Unknown
from imsg_delivery.provider_stats import ProviderStats
from imsg_delivery.routes import Facts, Order, Route, Switch
from imsg_limits.retry_after import RetryAfter

MAX_DOUBTFUL = 10_000
"""Messages of which it is remembered which provider may have them."""

SWITCHED_OFF_S = 60.0

OF_MESSAGE: frozenset[Concern] = frozenset({"recipient", "content"})
"""Troubles that another provider would have as well, or that are none of its business."""


@dataclass(slots=True)
class Provider:
    """A provider as the channel uses it."""

    route: Route
    stats: ProviderStats
    switch: Switch = field(default_factory=Switch)

    @property
    def name(self) -> str:
        """What settings, the API and the timeline call it."""
        return self.route.name

    @property
    def is_on(self) -> bool:
        """Whether it is used."""
        return self.switch.enabled is not False


Call = Callable[[Provider, Sequence[int]], Awaitable[Mapping[int, Result]]]
"""Hands messages to a provider, by their numbers, and answers a result for each."""


class ProviderPool:
    """The providers of one channel in their order.

    The next is asked only where one said Again or Blocked, which is to say that it took nothing; never after Unknown,
    or people would get a message twice. `stays` are troubles after which no other is asked all the same.
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
        self._providers = {route.name: Provider(route, ProviderStats(clock)) for route in routes}
        self._doubtful: OrderedDict[str, str] = OrderedDict()
        self._order = Order(tuple(routes))
        self._fixed = self._fix()

    @property
    def all(self) -> Sequence[Provider]:
        """Every provider, in the order of the settings."""
        return list(self._providers.values())

    def find(self, name: str) -> Provider | None:
        """Find a provider."""
        return self._providers.get(name)

    def apply(self, switches: Mapping[str, Switch]) -> None:
        """Take over what administrators have changed."""
        for provider in self._providers.values():
            provider.switch = switches.get(provider.name, Switch())
        routes = [provider.switch.apply(provider.route) for provider in self._providers.values()]
        self._order = Order(tuple(route for route in routes if route is not None))
        self._fixed = self._fix()

    def share(self, name: str) -> float | None:
        """Say which part of the messages a provider is given; None where conditions or addresses decide."""
        return None if self.by_address else self._order.share(name)

    @property
    def fixed(self) -> Sequence[Provider] | None:
        """The one order of all messages, where there is but one."""
        return self._fixed

    def rank(self, facts: Facts, forced: str | None = None) -> Sequence[Provider]:
        """Order the providers for a message; the one that is forced alone, switched on or not."""
        if forced is not None:
            provider = self._providers.get(forced)
            return [] if provider is None else [provider]
        if self._fixed is not None:
            return self._fixed
        return [self._providers[route.name] for route in self._order.rank(facts)]

    def refuse(self, what: str, remedy: str) -> Blocked:
        """Say why there is nobody to hand a message to; `what` describes the message."""
        if self._providers and not any(provider.is_on for provider in self._providers.values()):
            return refuse_switched_off(self.method, ", ".join(self._providers))
        detail = f"No provider is set for {what}; {remedy}."
        return Blocked(self.method, what, "no_route", detail, SWITCHED_OFF_S, concerns="content")

    def find_outage(self, find_outage_of: Callable[[str], Blocked | None]) -> Blocked | None:
        """Say why no provider takes anything: none is on, or each that is says why; who may be tried first says it."""
        used = [provider.name for provider in self._providers.values() if provider.is_on]
        if not used and self._providers:
            return refuse_switched_off(self.method, ", ".join(self._providers))
        outages = [outage for name in used if (outage := find_outage_of(name)) is not None]
        return min(outages, key=lambda one: one.after_s) if outages and len(outages) == len(used) else None

    async def send_batch(self, ranked: Sequence[Provider], names: Mapping[int, str], call: Call) -> dict[int, Result]:
        """Hand messages to the first provider, and those it says not now of to the next; answer a result for each.

        `names` are the messages' own, by their numbers, the same at every attempt.
        """
        results: dict[int, Result] = {}
        noes: dict[int, list[tuple[Provider, Again | Blocked, float]]] = defaultdict(list)
        left: Sequence[int] = list(names)
        for provider in ranked:
            mine = self._find_mine(provider, left, names)
            if not mine:
                continue
            began = self.clock()
            said = await call(provider, mine)
            ended = self.clock()
            provider.stats.note_call(ended - began)
            done = set[int]()
            for n in mine:
                results[n] = result = said[n]
                provider.stats.note(result)
                self._remember(names[n], provider.name, result)
                if isinstance(result, Again | Blocked) and result.concerns not in self._stays:
                    noes[n].append((provider, result, ended))
                else:
                    done.add(n)
            left = [n for n in left if n not in done]
            if not left:
                break
        now = self.clock()
        for n, said_no in noes.items():
            results[n] = _join(said_no, results[n], now)
        results.update(
            (n, self._wait_for(held_by)) for n in left if n not in results and (held_by := self._doubtful.get(names[n]))
        )
        return results

    def forget(self, message: str) -> None:
        """Forget who may have a message: it is certain now that nobody has."""
        self._doubtful.pop(message, None)

    async def send(
        self, ranked: Sequence[Provider], name: str, call: Callable[[Provider], Awaitable[Result]]
    ) -> Result | None:
        """Do the same with one message; None where nobody is left for it."""
        if len(ranked) == 1 and not self._doubtful and len(self._providers) == 1:
            provider, began = ranked[0], self.clock()
            result: Result = await call(provider)
            provider.stats.note_call(self.clock() - began)
            provider.stats.note(result)
            return result

        async def one(provider: Provider, _: Sequence[int]) -> Mapping[int, Result]:
            return {0: await call(provider)}

        return (await self.send_batch(ranked, {0: name}, one)).get(0)

    def _fix(self) -> Sequence[Provider] | None:
        fixed = self._order.fixed
        return None if fixed is None else [self._providers[route.name] for route in fixed]

    def _find_mine(self, provider: Provider, left: Sequence[int], names: Mapping[int, str]) -> Sequence[int]:
        """Leave out what another provider may have."""
        if not self._doubtful:
            return left
        return [n for n in left if self._doubtful.get(names[n], provider.name) == provider.name]

    def _wait_for(self, provider: str) -> Blocked:
        """Say that a message waits, since the only provider that may be asked again is not used now."""
        detail = f"{provider} may have it, and is not used now; nobody else is given it."
        return Blocked(self.method, provider, "held", detail, SWITCHED_OFF_S, concerns="content")

    def _remember(self, message: str, provider: str, result: Result) -> None:
        if isinstance(result, Unknown):
            self._doubtful[message] = provider
            if len(self._doubtful) > MAX_DOUBTFUL:
                self._doubtful.popitem(last=False)
        elif self._doubtful and not isinstance(result, Again | Blocked):
            self._doubtful.pop(message, None)


def refuse_switched_off(method: str, names: str) -> Blocked:
    """Say that a provider is switched off, and how it is switched on."""
    detail = f"Switched off: {names}; the channel's page and `imsg providers enable` switch it on."
    return Blocked(method, names, "switched_off", detail, SWITCHED_OFF_S, concerns="provider")


def _join(noes: Sequence[tuple[Provider, Again | Blocked, float]], last: Result, now: float) -> Result:
    """Make one result of several providers' answers: the last, or of noes alone an Again, with the shortest wait."""
    if noes[-1][1] is not last:
        return replace(last, hops=_hops(noes, now))
    if len(noes) == 1:
        return last
    results = [result for _, result, _ in noes]
    chosen = next((one for one in results if isinstance(one, Again)), results[0])
    detail = "; ".join(f"{provider.name}: {result.code} {result.detail}" for provider, result, _ in noes)
    hops = _hops([no for no in noes if no[1] is not chosen], now)
    return replace(chosen, detail=detail, after_s=min(one.after_s for one in results), hops=hops)


def _hops(noes: Sequence[tuple[Provider, Again | Blocked, float]], now: float) -> tuple[Hop, ...]:
    return tuple(Hop(provider.name, result.code, result.detail, now - at) for provider, result, at in noes)
