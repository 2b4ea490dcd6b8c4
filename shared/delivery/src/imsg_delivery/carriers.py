"""A channel's providers: whom a message is handed to, who is next where one says not now, and how each fares."""

from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imsg_contract.wire import Again, Blocked, Concern, Hop, Result, Unknown
from imsg_delivery.holds import Holds
from imsg_delivery.routes import Facts, Order, Route, Switch
from imsg_delivery.tally import Tally

MAX_DOUBTFUL = 10_000
"""Messages of which it is remembered which provider may have them."""

SWITCHED_OFF_S = 60.0

OF_MESSAGE: frozenset[Concern] = frozenset({"recipient", "content"})
"""Troubles that another provider would have as well, or that are none of its business."""


@dataclass(slots=True)
class Carrier:
    """A provider as the channel uses it."""

    route: Route
    tally: Tally
    switch: Switch = field(default_factory=Switch)

    @property
    def name(self) -> str:
        """What settings, the API and the timeline call it."""
        return self.route.name

    @property
    def is_on(self) -> bool:
        """Whether it is used."""
        return self.switch.enabled is not False


Call = Callable[[Carrier, Sequence[int]], Awaitable[Mapping[int, Result]]]
"""Hands messages to a provider, by their numbers, and answers a result for each."""


class Carriers:
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
        self.holds = Holds(clock)
        self.clock = clock
        self.by_address = by_address
        self._stays = frozenset(stays)
        self._carriers = {route.name: Carrier(route, Tally(clock)) for route in routes}
        self._doubtful: OrderedDict[str, str] = OrderedDict()
        self._order = Order(tuple(routes))
        self._fixed = self._fix()

    @property
    def all(self) -> Sequence[Carrier]:
        """Every provider, in the order of the settings."""
        return list(self._carriers.values())

    def find(self, name: str) -> Carrier | None:
        """Find a provider."""
        return self._carriers.get(name)

    def apply(self, switches: Mapping[str, Switch]) -> None:
        """Take over what administrators have changed."""
        for carrier in self._carriers.values():
            carrier.switch = switches.get(carrier.name, Switch())
        routes = [carrier.switch.apply(carrier.route) for carrier in self._carriers.values()]
        self._order = Order(tuple(route for route in routes if route is not None))
        self._fixed = self._fix()

    def share(self, name: str) -> float | None:
        """Say which part of the messages a provider is given; None where conditions or addresses decide."""
        return None if self.by_address else self._order.share(name)

    @property
    def fixed(self) -> Sequence[Carrier] | None:
        """The one order of all messages, where there is but one."""
        return self._fixed

    def rank(self, facts: Facts, forced: str | None = None) -> Sequence[Carrier]:
        """Order the providers for a message; the one that is forced alone, switched on or not."""
        if forced is not None:
            carrier = self._carriers.get(forced)
            return [] if carrier is None else [carrier]
        if self._fixed is not None:
            return self._fixed
        return [self._carriers[route.name] for route in self._order.rank(facts)]

    def refuse(self, what: str, remedy: str) -> Blocked:
        """Say why there is nobody to hand a message to; `what` describes the message."""
        if self._carriers and not any(carrier.is_on for carrier in self._carriers.values()):
            return refuse_switched_off(self.method, ", ".join(self._carriers))
        detail = f"No provider is set for {what}; {remedy}."
        return Blocked(self.method, what, "no_route", detail, SWITCHED_OFF_S, concerns="content")

    def find_outage(self, find_outage_of: Callable[[str], Blocked | None]) -> Blocked | None:
        """Say why no provider takes anything: none is on, or each that is says why; who may be tried first says it."""
        used = [carrier.name for carrier in self._carriers.values() if carrier.is_on]
        if not used and self._carriers:
            return refuse_switched_off(self.method, ", ".join(self._carriers))
        outages = [outage for name in used if (outage := find_outage_of(name)) is not None]
        return min(outages, key=lambda one: one.after_s) if outages and len(outages) == len(used) else None

    async def carry(self, ranked: Sequence[Carrier], names: Mapping[int, str], call: Call) -> dict[int, Result]:
        """Hand messages to the first provider, and those it says not now of to the next; answer a result for each.

        `names` are the messages' own, by their numbers, the same at every attempt.
        """
        results: dict[int, Result] = {}
        noes: dict[int, list[tuple[Carrier, Again | Blocked, float]]] = defaultdict(list)
        left: Sequence[int] = list(names)
        for carrier in ranked:
            mine = self._find_mine(carrier, left, names)
            if not mine:
                continue
            began = self.clock()
            said = await call(carrier, mine)
            ended = self.clock()
            carrier.tally.note_call(ended - began)
            done = set[int]()
            for n in mine:
                results[n] = result = said[n]
                carrier.tally.note(result)
                self._remember(names[n], carrier.name, result)
                if isinstance(result, Again | Blocked) and result.concerns not in self._stays:
                    noes[n].append((carrier, result, ended))
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

    async def carry_one(
        self, ranked: Sequence[Carrier], name: str, call: Callable[[Carrier], Awaitable[Result]]
    ) -> Result | None:
        """Do the same with one message; None where nobody is left for it."""
        if len(ranked) == 1 and not self._doubtful and len(self._carriers) == 1:
            carrier, began = ranked[0], self.clock()
            result: Result = await call(carrier)
            carrier.tally.note_call(self.clock() - began)
            carrier.tally.note(result)
            return result

        async def one(carrier: Carrier, _: Sequence[int]) -> Mapping[int, Result]:
            return {0: await call(carrier)}

        return (await self.carry(ranked, {0: name}, one)).get(0)

    def _fix(self) -> Sequence[Carrier] | None:
        fixed = self._order.fixed
        return None if fixed is None else [self._carriers[route.name] for route in fixed]

    def _find_mine(self, carrier: Carrier, left: Sequence[int], names: Mapping[int, str]) -> Sequence[int]:
        """Leave out what another provider may have."""
        if not self._doubtful:
            return left
        return [n for n in left if self._doubtful.get(names[n], carrier.name) == carrier.name]

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


def _join(noes: Sequence[tuple[Carrier, Again | Blocked, float]], last: Result, now: float) -> Result:
    """Make one result of several providers' answers: the last, or of noes alone an Again, with the shortest wait."""
    if noes[-1][1] is not last:
        return replace(last, hops=_hops(noes, now))
    if len(noes) == 1:
        return last
    results = [result for _, result, _ in noes]
    chosen = next((one for one in results if isinstance(one, Again)), results[0])
    detail = "; ".join(f"{carrier.name}: {result.code} {result.detail}" for carrier, result, _ in noes)
    hops = _hops([no for no in noes if no[1] is not chosen], now)
    return replace(chosen, detail=detail, after_s=min(one.after_s for one in results), hops=hops)


def _hops(noes: Sequence[tuple[Carrier, Again | Blocked, float]], now: float) -> tuple[Hop, ...]:
    return tuple(Hop(carrier.name, result.code, result.detail, now - at) for carrier, result, at in noes)
