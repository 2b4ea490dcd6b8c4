"""What the bench writes into history's tables by itself has every column that history requires."""

import pytest
from sqlalchemy import Table

from imsg_bench.floors.upserts import ATTEMPTS, JOBS, MESSAGES, REQUESTS
from imsg_bench.seeding import STATEMENTS as SEEDS
from imsg_history import tables

FLOORS = ((tables.requests, REQUESTS), (tables.jobs, JOBS), (tables.messages, MESSAGES), (tables.attempts, ATTEMPTS))


def required(table: Table) -> set[str]:
    return {column.name for column in table.columns if not column.nullable and column.server_default is None}


@pytest.mark.parametrize(("table", "columns"), FLOORS, ids=lambda given: getattr(given, "name", ""))
def test_the_floor_writes_what_history_requires(table: Table, columns: dict[str, str]) -> None:
    assert required(table) <= columns.keys() <= set(table.columns.keys())


@pytest.mark.parametrize("statement", SEEDS)
def test_a_seeded_history_has_what_history_requires(statement: str) -> None:
    head = statement.partition("(")
    table = tables.metadata.tables[head[0].removeprefix("\nINSERT INTO ").strip()]
    assert required(table) <= {name.strip() for name in head[2].partition(")")[0].split(",")}
