"""Usage: what the day facts of a span sum up to, by any of their dimensions, and what it cost."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Row, case, cast, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.prices import Cost, PriceList, sum_costs
from imsg_history.database import Database
from imsg_history.ids import find_day
from imsg_history.report_schemas import NewReport
from imsg_history.tables import day_facts
from imsg_web.callers import Caller

MEASURES = ("messages", "segments", "sent", "delivered", "failed", "uncertain")
COST_MEASURES = ("billed", "charged", "charged_segments", "estimated")

COLUMNS: dict[str, ColumnElement[str]] = {
    "user": day_facts.c.username,
    **{name: day_facts.c[name] for name in ("department", "key", "method", "provider", "template", "category", "day")},
    "month": func.substr(day_facts.c.day, 1, 7),
}
"""A dimension of a report → the column of day facts."""

PRICED_BY = ("method", "provider", "country", "currency")
"""Day facts that have these and the same prices in common cost the same for each message and segment."""


async def read_usage(
    database: Database, report: NewReport, caller: Caller, zone: ZoneInfo, prices: PriceList
) -> list[dict[str, Any]]:
    """Sum up the days from `since` to `until`, both included. Raises DatabaseUnavailable.

    Operators see the usage of all users; a user sees their own.
    """
    first, last = find_day(report.since, zone), find_day(report.until - timedelta(microseconds=1), zone)
    where = [day_facts.c.day >= first, day_facts.c.day <= last]
    where += [COLUMNS[name] == value for name, value in report.chosen_filters().items()]
    if not caller.sees_all:
        where.append(day_facts.c.user_id == caller.user_id)
    by = [COLUMNS[name].label(f"by_{name}") for name in report.by]
    counted = select(*by, *_sum_up(MEASURES)).where(*where).group_by(*(column.name for column in by))
    starts = [day for day in prices.starts if first < day <= last]
    priced_by = [*by, *(day_facts.c[name] for name in PRICED_BY), _find_start(first, starts).label("start")]
    # Most facts of a free channel, such as mail, have no cost: they are left out before they are fetched.
    may_cost = or_(day_facts.c.currency != "", day_facts.c.method.in_(sorted(prices.methods)))
    charged = select(*priced_by, *_sum_up(COST_MEASURES)).where(*where, may_cost)
    charged = charged.group_by(*(column.name for column in priced_by))

    async def read(connection: AsyncConnection) -> tuple[Sequence[Any], Sequence[Any]]:
        return (await connection.execute(counted)).all(), (await connection.execute(charged)).all()

    rows, of_costs = await database.read(read)
    costs: defaultdict[tuple[str, ...], list[Cost]] = defaultdict(list)
    for row in of_costs:
        costs[tuple(row[: len(by)])] += _find_costs(row, prices)
    usage = []
    for row in sorted(rows, key=lambda row: tuple(row[: len(by)])):
        key = tuple(row[: len(by)])
        measures = dict(zip(MEASURES, row[len(by) :], strict=True))
        usage.append({**dict(zip(report.by, key, strict=True)), **measures, "cost": sum_costs(costs[key])})
    return [row for row in usage if row["messages"] or not by]


def _sum_up(names: Sequence[str]) -> list[ColumnElement[int]]:
    return [cast(func.coalesce(func.sum(day_facts.c[name]), 0), BigInteger).label(name) for name in names]


def _find_start(first: str, starts: list[str]) -> ColumnElement[str]:
    """Return the last day, of the first one and those from which prices change, that is not after a fact's day."""
    if not starts:
        return literal(first)
    whens = [(day_facts.c.day >= day, day) for day in reversed(starts)]
    return case(*whens, else_=first)


def _find_costs(row: Row[Any], prices: PriceList) -> Iterator[Cost]:
    if row.currency:
        yield Cost(row.billed, row.currency, estimated=False)
    price = prices.find(row.method, row.provider, row.country or None, row.start) if row.charged else None
    if price is not None:
        units = row.charged_segments if price.per == "segment" else row.charged
        yield Cost(units * price.micros, price.currency, estimated=row.estimated > 0)
