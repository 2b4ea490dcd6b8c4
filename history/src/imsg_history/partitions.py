"""PostgreSQL's partitions by month of the request's id: made ahead, dropped when they are too old."""

import re
from datetime import UTC, datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from imsg_history.ids import first_id
from imsg_history.tables import PARTITIONED

MONTHS_AHEAD = 2

LOCK_TIMEOUT = "3s"
"""How long a change of partitions waits for the recorder's locks, which wait behind it meanwhile."""

_NAME = re.compile(r"(?P<table>[a-z]+)_(?P<year>\d{4})_(?P<month>\d{2})")


def month_of(at: datetime) -> datetime:
    """Return the first moment of a time's month, UTC."""
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def month_after(month: datetime) -> datetime:
    """Return the first moment of the following month."""
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def make_months(connection: Connection, now: datetime) -> list[str]:
    """Make the partitions of this month and the next ones where they are missing; return what was made."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    made = []
    month = month_of(now)
    there = _names(connection)
    for _ in range(MONTHS_AHEAD + 1):
        for table in PARTITIONED:
            name = f"{table}_{month:%Y_%m}"
            if name not in there:
                _make(connection, table, name, month)
                made.append(name)
        month = month_after(month)
    return made


def drop_months(connection: Connection, before: datetime) -> list[str]:
    """Drop the partitions of months that end before a time; return what was dropped."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    dropped = []
    for name in _names(connection):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        month = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
        if month_after(month) <= before:
            connection.execute(text(f'DROP TABLE "{name}"'))
            dropped.append(name)
    return dropped


def _names(connection: Connection) -> list[str]:
    found = connection.execute(
        text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name) "
            "ORDER BY child.relname"
        ),
        {"tables": list(PARTITIONED)},
    )
    return [str(name) for (name,) in found]


def _make(connection: Connection, table: str, name: str, month: datetime) -> None:
    low, high = first_id(month), first_id(month_after(month))
    limits = f"FOR VALUES FROM ('{low}') TO ('{high}')"
    try:
        with connection.begin_nested():
            connection.execute(text(f'CREATE TABLE "{name}" PARTITION OF {table} {limits}'))
    except IntegrityError:
        # Rows of that month came before it was made and lie in the default partition: they move with it.
        connection.execute(text(f'CREATE TABLE "{name}" (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)'))
        connection.execute(
            text(
                f"WITH moved AS (DELETE FROM {table}_default WHERE request >= '{low}' AND request < '{high}' "  # noqa: S608
                f'RETURNING *) INSERT INTO "{name}" SELECT * FROM moved'
            )
        )
        connection.execute(text(f'ALTER TABLE {table} ATTACH PARTITION "{name}" {limits}'))
