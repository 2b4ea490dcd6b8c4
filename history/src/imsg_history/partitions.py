"""PostgreSQL's partitions by month of the request's id: created ahead, dropped when they are too old."""

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
"""How long a change of partitions waits for locks, while writers and readers wait behind it: below the time after
which a reader gives up."""

MAX_STRAY_MONTHS = 12
"""Months created at once for rows that lie in a default partition."""

MAX_AHEAD = timedelta(days=3_650)
"""Rows dated further ahead stay in the default partition: no clock is that wrong by accident."""

_NAME = re.compile(r"(?P<table>[a-z]+)_(?P<year>\d{4})_(?P<month>\d{2})")


@dataclass(frozen=True, slots=True)
class Partition:
    """A month of a table."""

    table: str
    month: datetime

    @property
    def name(self) -> str:
        """The partition's table name."""
        return f"{self.table}_{self.month:%Y_%m}"

    @property
    def limits(self) -> tuple[str, str]:
        """The lowest id of the month, and of the month after."""
        return first_id(self.month), first_id(month_after(self.month))


def month_of(at: datetime) -> datetime:
    """Return the first moment of a time's month, UTC."""
    return datetime(at.year, at.month, 1, tzinfo=UTC)


def month_after(month: datetime) -> datetime:
    """Return the first moment of the following month."""
    return datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)


def create_months(connection: Connection, now: datetime) -> list[str]:
    """Create the missing partitions in this transaction, at the start of history; return their names."""
    missing = list_missing(connection, now)
    for partition in missing:
        create(connection, partition)
    return [partition.name for partition in missing]


def create_months_between(connection: Connection, first: str, last: str) -> None:
    """Create the missing partitions for requests from one id to another, before their rows come."""
    existing = _list_names(connection)
    month, end = month_of(time_of(first)), min(time_of(last), datetime.now(UTC) + MAX_AHEAD)
    while month <= end:
        for partition in (Partition(table, month) for table in PARTITIONED):
            if partition.name not in existing:
                create(connection, partition)
        month = month_after(month)


def list_missing(connection: Connection, now: datetime, oldest: datetime | None = None) -> list[Partition]:
    """List the missing partitions: of this month, of the next ones, and of rows that lie in a default partition.

    Rows older than `oldest` stay there until retention deletes them.
    """
    existing = _list_names(connection)
    months = [month_of(now)]
    for _ in range(MONTHS_AHEAD):
        months.append(month_after(months[-1]))
    wanted = {Partition(table, month): None for table in PARTITIONED for month in months}
    for table in PARTITIONED:
        if f"{table}_default" in existing:
            lowest = first_id(oldest) if oldest else first_id(datetime(1970, 1, 1, tzinfo=UTC))
            stray_months = _find_stray_months(connection, table, lowest, first_id(now + MAX_AHEAD))
            wanted |= {Partition(table, month): None for month in stray_months}
    return [partition for partition in wanted if partition.name not in existing]


def list_outdated(connection: Connection, before: datetime) -> list[Partition]:
    """List the partitions of months that end before `before`."""
    outdated = []
    for name in _list_names(connection):
        if match := _NAME.fullmatch(name):
            month = datetime(int(match["year"]), int(match["month"]), 1, tzinfo=UTC)
            if month_after(month) <= before:
                outdated.append(Partition(match["table"], month))
    return outdated


def create(connection: Connection, partition: Partition) -> bool:
    """Create a partition; return False where another process has created it meanwhile."""
    _limit_lock_wait(connection)
    if _exists(connection, partition):
        return False
    low, high = partition.limits
    limits = f"FOR VALUES FROM ('{low}') TO ('{high}')"
    name, table = partition.name, partition.table
    try:
        with connection.begin_nested():
            connection.execute(text(f'CREATE TABLE "{name}" PARTITION OF {table} {limits}'))
    except IntegrityError:
        # Rows of that month lie in the default partition: they move. Writers of the table wait, since a row that is
        # being inserted into the default partition would be refused.
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
    """Drop a partition; return False where another process has dropped it meanwhile."""
    _limit_lock_wait(connection)
    if not _exists(connection, partition):
        return False
    connection.execute(text(f'DROP TABLE "{partition.name}"'))
    return True


def _limit_lock_wait(connection: Connection) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))


def _exists(connection: Connection, partition: Partition) -> bool:
    return bool(connection.scalar(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": partition.name}))


def _find_stray_months(connection: Connection, table: str, lowest: str, end: str) -> Iterator[datetime]:
    """Find the months whose rows lie in a default partition, by one read of its key for each month."""
    for _ in range(MAX_STRAY_MONTHS):
        request = connection.scalar(
            text(
                f"SELECT request FROM {table}_default WHERE request >= CAST(:lowest AS uuid) "  # noqa: S608
                "AND request < CAST(:end AS uuid) ORDER BY request LIMIT 1"
            ),
            {"lowest": lowest, "end": end},
        )
        if request is None:
            return
        month = month_of(time_of(request.hex))
        yield month
        lowest = first_id(month_after(month))


def _list_names(connection: Connection) -> set[str]:
    names = connection.execute(
        text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)"
        ),
        {"tables": list(PARTITIONED)},
    )
    return {str(name) for (name,) in names}
