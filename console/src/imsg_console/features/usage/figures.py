"""Rows of a report of usage, as the page sums them up and draws them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from imsg_console.widgets.costs import sum_costs

MEASURES = ("messages", "segments", "sent", "delivered", "failed", "uncertain")

KINDS: Mapping[str, str] = {
    "delivered": "--good",
    "sent": "--main",
    "waiting": "--calm",
    "uncertain": "--warn",
    "failed": "--bad",
}
"""Kind → its colour, in the order in which the bars are stacked: each message is in one of them."""

MONTHS = 24
"""How many months can be chosen."""


def list_months(today: date) -> list[str]:
    """List this month and those before it, the newest first."""
    last = today.year * 12 + today.month - 1
    return [f"{n // 12}-{n % 12 + 1:02}" for n in range(last, last - MONTHS, -1)]


def find_span(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the beginning of a month and of the next one."""
    first = datetime.fromisoformat(f"{month}-01").replace(tzinfo=zone)
    return first, (first + timedelta(days=31)).replace(day=1)


def list_days(month: str, zone: ZoneInfo) -> list[str]:
    """List the days of a month."""
    first, end = find_span(month, zone)
    return [str(first.date() + timedelta(days=n)) for n in range((end.date() - first.date()).days)]


def sum_by(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Sum rows up by one of their dimensions, the most messages first."""
    in_order = sorted(rows, key=lambda row: str(row[name]))
    sums = [{name: value, **sum_all(list(these))} for value, these in groupby(in_order, lambda row: str(row[name]))]
    return sorted(sums, key=lambda row: (-row["messages"], row[name]))


def sum_all(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum all rows up, and their costs by currency."""
    counts = {measure: sum(row[measure] for row in rows) for measure in MEASURES}
    return {**counts, "cost": sum_costs(cost for row in rows for cost in row["cost"])}


def count_kinds(row: Mapping[str, int]) -> dict[str, int]:
    """Count each message of a row in one kind."""
    settled = row["sent"] + row["uncertain"] + row["failed"]
    return {
        "delivered": row["delivered"],
        "sent": row["sent"] - row["delivered"],
        "waiting": row["messages"] - settled,
        "uncertain": row["uncertain"],
        "failed": row["failed"],
    }
