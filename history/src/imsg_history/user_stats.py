"""The messages of each user in a span of time, by method and status."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, cast, func, select

from imsg_history.database import Database
from imsg_history.day_facts import STATUS_COUNTS
from imsg_history.stats import Span
from imsg_history.tables import day_facts, messages

MAX_USERS = 100

OF = ("username", "method")

MEASURES = ("messages", "sent", "delivered", "failed", "uncertain")


class UserStatistics:
    """Sums up the messages of each user and method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, span: Span) -> list[dict[str, Any]]:
        """Return the sums of users and methods, those with the most messages first. Raises DatabaseUnavailable."""
        if span.is_short:
            table, where = messages, span.find_messages()
            sums = {"messages": func.count(), **{name: func.sum(_is_counted(name)) for name in MEASURES[1:]}}
        else:
            table, where = day_facts, span.find_facts()
            sums = {name: func.sum(day_facts.c[name]) for name in MEASURES}
        whose = [table.c[name] for name in OF]
        counting = (
            select(*whose, *(cast(counted, BigInteger).label(name) for name, counted in sums.items()))
            .where(*where)
            .group_by(*whose)
            .having(sums["messages"] > 0)
            .order_by(sums["messages"].desc(), *whose)
            .limit(MAX_USERS)
        )
        return [dict(zip((*OF, *MEASURES), row, strict=True)) for row in await self._database.fetch(counting)]


def _is_counted(measure: str) -> ColumnElement[int]:
    statuses = [status for status, measures in STATUS_COUNTS.items() if measure in measures]
    return case((messages.c.status.in_(statuses), 1), else_=0)
