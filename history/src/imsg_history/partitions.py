"""PostgreSQL's partitions by month of the request's id: made ahead, dropped when they are too old."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from imsg_history.ids import first_id, time_of
from imsg_history.tables import PARTITIONED

MONTHS_AHEAD = 2

LOCK_TIMEOUT = "3s"
"""How long a change of partitions waits for others' locks, while the recorder and readers wait behind it: below
the time after which a reader gives up."""

STRAYED = 12
"""Months made at once for rows that lie in a default partition."""

FAR = timedelta(days=3_650)
"""What is dated further ahead than this stays in the default partition: no clock is that wrong by accident."""

_NAME = re.compile(r"(?P<table>[a-z]+)_(?P<year>\d{4})_(?P<month>\d{2})")


@dataclass(frozen=True, slots=True)
class Partition:
    """A month of a table."""

    table: str
    month: datetime

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.table}_{self.month:%Y_%m}"

    @property
    def limits(self) -> tuple[str, str]:
        """Its lowest id and the first above it."""
        return first_id(self.month), first_id(month_after(self.month))


def month_of(at: datetime) -> datetime:
    """Return the first moment of a time's month, UTC."""
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def month_after(month: datetime) -> datetime:
    """Return the first moment of the following month."""
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def make_months(connection: Connection, now: datetime) -> list[str]:
    """Make what is missing, all in this transaction; return what was made. For a start, before anybody records."""
    missing = list_missing(connection, now)
    for partition in missing:
        make(connection, partition)
    return [partition.name for partition in missing]


def list_missing(connection: Connection, now: datetime, oldest: datetime | None = None) -> list[Partition]:
    """List the partitions that are missing: of this month, of the next ones, and of what lies in a default one.

    What is older than `oldest` stays there until retention removes it row by row.
    """
    there = _names(connection)
    months = [month_of(now)]
    for _ in range(MONTHS_AHEAD):
        months.append(month_after(months[-1]))
    wanted = {Partition(table, month): None for table in PARTITIONED for month in months}
    for table in PARTITIONED:
        if f"{table}_default" in there:
            lowest = first_id(oldest) if oldest else first_id(datetime(1970, 1, 1, tzinfo=UTC))
            strayed = _find_strays(connection, table, lowest, first_id(now + FAR))
            wanted |= {Partition(table, month): None for month in strayed}
    return [partition for partition in wanted if partition.name not in there]


def list_outdated(connection: Connection, before: datetime) -> list[Partition]:
    """List the partitions of months that end before a time."""
    found = []
    for name in _names(connection):
        if match := _NAME.fullmatch(name):
            month = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
            if month_after(month) <= before:
                found.append(Partition(match["table"], month))
    return found


def make(connection: Connection, partition: Partition) -> bool:
    """Make a partition; False where another has made it meanwhile."""
    _be_brief(connection)
    if _is_there(connection, partition):
        return False
    low, high = partition.limits
    limits = f"FOR VALUES FROM ('{low}') TO ('{high}')"
    name, table = partition.name, partition.table
    try:
        with connection.begin_nested():
            connection.execute(text(f'CREATE TABLE "{name}" PARTITION OF {table} {limits}'))
    except IntegrityError:
        # Rows of that month came before it was made and lie in the default partition: they move with it. Whoever
        # writes to the table waits: a row that is on its way into the default partition would be refused for good.
        connection.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))
        connection.execute(text(f'CREATE TABLE "{name}" (LIKE {table} INCLUDING ALL)'))
        connection.execute(
            text(
                f"WITH moved AS (DELETE FROM {table}_default WHERE request >= '{low}' AND request < '{high}' "  # noqa: S608
                f'RETURNING *) INSERT INTO "{name}" SELECT * FROM moved'
            )
        )
        connection.execute(text(f'ALTER TABLE {table} ATTACH PARTITION "{name}" {limits}'))
    return True


def drop(connection: Connection, partition: Partition) -> bool:
    """Drop a partition whole; False where another has dropped it meanwhile."""
    _be_brief(connection)
    if not _is_there(connection, partition):
        return False
    connection.execute(text(f'DROP TABLE "{partition.name}"'))
    return True


def _be_brief(connection: Connection) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))


def _is_there(connection: Connection, partition: Partition) -> bool:
    return bool(connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": partition.name}))


def _find_strays(connection: Connection, table: str, lowest: str, end: str) -> Iterator[datetime]:
    """Find the months of which a default partition holds rows, by one look into its key a month."""
    for _ in range(STRAYED):
        found = connection.scalar(
            text(
                f"SELECT request FROM {table}_default WHERE request >= CAST(:lowest AS uuid) "  # noqa: S608
                "AND request < CAST(:end AS uuid) ORDER BY request LIMIT 1"
            ),
            {"lowest": lowest, "end": end},
        )
        if found is None:
            return
        month = month_of(time_of(found.hex))
        yield month
        lowest = first_id(month_after(month))


def _names(connection: Connection) -> set[str]:
    found = connection.execute(
        text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)"
        ),
        {"tables": list(PARTITIONED)},
    )
    return {str(name) for (name,) in found}
