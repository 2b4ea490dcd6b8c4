"""The number of rows of a list, counted up to a bound."""

from typing import Any

from sqlalchemy import Select, func, select


def count_rows(statement: Select[Any], limit: int) -> Select[int]:
    """Return the statement that counts the rows of another one, `limit` of them at the most.

    Their order does not matter, so the database stops at the bound and sorts nothing.
    """
    return select(func.count()).select_from(statement.order_by(None).limit(limit).subquery())
