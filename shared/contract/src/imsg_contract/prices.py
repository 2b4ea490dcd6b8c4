"""Prices of messages, and what messages cost by them.

Amounts are whole millionths of a currency's unit, so that sums are exact in every database.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

MICROS = 1_000_000
DECIMALS = 6
"""The decimals of an amount: providers quote five at most."""

Per = Literal["message", "segment"]


class Price(NamedTuple):
    """What a provider asks for, from a day on."""

    method: str
    provider: str
    country: str | None
    """The country of the recipient's number; None: every country that has no price of its own."""
    per: Per
    micros: int
    currency: str
    """ISO 4217, such as `CNY`."""
    since: str
    """The first day, `YYYY-MM-DD`, in the installation's time zone."""


class Cost(NamedTuple):
    """What one message costs."""

    micros: int
    currency: str
    estimated: bool
    """False once the provider has named the amount, or the segments that it charges."""


Costs = list[dict[str, Any]]
"""A sum: `{amount, currency, estimated}` of each currency."""

_PRICES = TypeAdapter(tuple[Price, ...])


class PriceList:
    """The prices of the installation."""

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        by_place: defaultdict[tuple[str, str, str | None], list[Price]] = defaultdict(list)
        for price in prices:
            by_place[price.method, price.provider, price.country].append(price)
        self._newest_first: Mapping[tuple[str, str, str | None], Sequence[Price]] = {
            place: sorted(of_place, key=lambda price: price.since, reverse=True) for place, of_place in by_place.items()
        }
        self.starts = sorted({price.since for of_place in by_place.values() for price in of_place})
        """The days from which prices change."""
        self.methods = frozenset(method for method, _, _ in by_place)
        """The channels that have any price."""

    def find(self, method: str, provider: str, country: str | None, day: str) -> Price | None:
        """Return the price of a day: of the country if it has one, else of every country."""
        for where in dict.fromkeys((country, None)):
            for price in self._newest_first.get((method, provider, where), ()):
                if price.since <= day:
                    return price
        return None


def write_prices(prices: Sequence[Price]) -> bytes:
    """Write prices as the catalog publishes them."""
    return _PRICES.dump_json(tuple(prices))


def read_prices(text: bytes) -> PriceList:
    """Read what `write_prices` wrote. Raises ValueError."""
    return PriceList(_PRICES.validate_json(text))


def read_amount(amount: Decimal) -> int:
    """Convert an amount to millionths, the half rounded up."""
    return int((amount * MICROS).to_integral_value(ROUND_HALF_UP))


def write_amount(micros: int) -> str:
    """Write an amount as a decimal string with two decimals or as many as it needs: `0.045`, `12.30`."""
    amount = Decimal(micros) / MICROS
    return f"{amount.quantize(Decimal('0.01'))}" if micros % (MICROS // 100) == 0 else f"{amount.normalize():f}"


def sum_costs(costs: Iterable[Cost]) -> Costs:
    """Add up costs, each currency by itself."""
    micros: defaultdict[str, int] = defaultdict(int)
    estimated: defaultdict[str, bool] = defaultdict(bool)
    for cost in costs:
        micros[cost.currency] += cost.micros
        estimated[cost.currency] |= cost.estimated
    return [show_cost(Cost(micros[currency], currency, estimated[currency])) for currency in sorted(micros)]


def show_cost(cost: Cost) -> dict[str, Any]:
    """Return a cost as answers show it."""
    return {"amount": write_amount(cost.micros), "currency": cost.currency, "estimated": cost.estimated}
