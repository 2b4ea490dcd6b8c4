"""Usage: what the day facts of a span sum up to, by any of their dimensions."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, cast, func, select

from imsg_history.database import Database
from imsg_history.ids import find_day
from imsg_history.report_schemas import NewReport
from imsg_history.tables import day_facts
from imsg_web.callers import Caller

MEASURES = ("messages", "segments", "sent", "delivered", "failed", "uncertain")

COLUMNS: dict[str, ColumnElement[str]] = {
    "user": day_facts.c.username,
    **{name: day_facts.c[name] for name in ("department", "key", "method", "provider", "template", "category", "day")},
    "month": func.substr(day_facts.c.day, 1, 7),
}
"""A dimension of a report → the column of day facts."""


async def read_usage(database: Database, report: NewReport, caller: Caller, zone: ZoneInfo) -> list[dict[str, Any]]:
    """Sum up the days from `since` to `until`, both included. Raises DatabaseUnavailable.

    Those who see all see everybody's; a user sees their own.
    """
    first, last = find_day(report.since, zone), find_day(report.until - timedelta(microseconds=1), zone)
    where = [day_facts.c.day >= first, day_facts.c.day <= last]
    where += [COLUMNS[name] == value for name, value in report.chosen_filters().items()]
    if not caller.sees_all:
        where.append(day_facts.c.user_id == caller.user_id)
    groups = [COLUMNS[name].label(name) for name in report.by]
    sums = [cast(func.coalesce(func.sum(day_facts.c[name]), 0), BigInteger).label(name) for name in MEASURES]
    statement = select(*groups, *sums).where(*where)
    if groups:
        statement = statement.group_by(*groups).having(func.sum(day_facts.c.messages) > 0).order_by(*groups)
    return [dict(row) for row in (await database.read(lambda connection: connection.execute(statement))).mappings()]
