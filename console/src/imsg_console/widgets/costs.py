"""Costs as people read them: a sum for each currency, and whether it is an estimate."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from imsg_console.sanitize import line
from imsg_console.texts import Texts

Cost = Mapping[str, Any]


def sum_costs(costs: Iterable[Cost]) -> list[Cost]:
    """Add up costs, each currency by itself."""
    amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
    estimated: defaultdict[str, bool] = defaultdict(bool)
    for cost in costs:
        amounts[cost["currency"]] += Decimal(cost["amount"])
        estimated[cost["currency"]] |= cost["estimated"]
    return [
        {"amount": f"{amounts[currency]:f}", "currency": currency, "estimated": estimated[currency]}
        for currency in sorted(amounts)
    ]


def write_costs(t: Texts, costs: Iterable[Cost]) -> str:
    """Write costs in one line; empty without any."""
    return t.join_names(
        t("layout.cost_estimated" if cost["estimated"] else "layout.cost", cost=_write(cost)) for cost in costs
    )


def _write(cost: Cost) -> str:
    return f"{Decimal(cost['amount']):,f} {line(cost['currency'], 8)}"
