"""A copy of a service's tables from SQLite to PostgreSQL, in one transaction, and compared row by row."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, Table, TypeDecorator, func, insert, select, type_coerce
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds, to be compared with another's."""

    rows: int = 0
    digest: int = 0
    """The sum of the rows' digests, whatever their order."""

    def add(self, rows: Sequence[Sequence[object]]) -> "Content":
        """Return the content with more rows."""
        digests = (hashlib.blake2b(_describe(row).encode(), digest_size=16).digest() for row in rows)
        total = sum(int.from_bytes(digest) for digest in digests)
        return Content(self.rows + len(rows), (self.digest + total) % 2**128)


async def read_content(connection: AsyncConnection, tables: Sequence[Table]) -> Mapping[str, Content]:
    """Read all rows of the tables; return the content of each."""
    contents: dict[str, Content] = {}
    for table in tables:
        contents[table.name] = Content()
        async for rows in _read(connection, table):
            contents[table.name] = contents[table.name].add(rows)
    return contents


async def copy(source: AsyncConnection, target: AsyncConnection, tables: Sequence[Table]) -> Mapping[str, Content]:
    """Copy all rows of the tables; return the content that was read."""
    contents: dict[str, Content] = {}
    for table in tables:
        contents[table.name] = Content()
        writing = insert(_as_kept(table))
        names = [column.name for column in table.columns]
        async for rows in _read(source, table):
            contents[table.name] = contents[table.name].add(rows)
            await target.execute(writing, [dict(zip(names, row, strict=True)) for row in rows])
        await _continue_numbers(target, table)
    return contents


async def _read(connection: AsyncConnection, table: Table) -> AsyncIterator[Sequence[Sequence[Any]]]:
    columns = (type_coerce(column, _find_kept_type(column)).label(column.name) for column in table.columns)
    result = await connection.stream(select(*columns).execution_options(yield_per=ROWS_AT_ONCE))
    async for rows in result.partitions():
        yield rows


def _as_kept(table: Table) -> Table:
    """Return the table with the types that change no value: a null must not become an empty list."""
    columns = (Column(column.name, _find_kept_type(column)) for column in table.columns)
    return Table(table.name, type(table.metadata)(), *columns)


def _find_kept_type(column: Column[Any]) -> TypeEngine[Any]:
    kind = column.type
    if isinstance(kind, TypeDecorator) and kind.process_result_value(None, DefaultDialect()) is not None:
        kind = kind.impl_instance
    return JSON(none_as_null=True) if isinstance(kind, JSON) else kind


async def _continue_numbers(connection: AsyncConnection, table: Table) -> None:
    """Set PostgreSQL's sequences to the highest numbers in use."""
    numbered = (column for column in table.primary_key if column.identity or column.autoincrement is True)
    for column in numbered:
        if (highest := await connection.scalar(select(func.max(column)))) is not None:
            numbers = func.pg_get_serial_sequence(table.name, column.name)
            await connection.execute(select(func.setval(numbers, highest)))


def _describe(row: Sequence[object]) -> str:
    return "\x1f".join(map(_describe_value, row))


def _describe_value(value: object) -> str:
    match value:
        case bytes() | memoryview() | bytearray():
            return bytes(value).hex()
        case datetime():
            return value.astimezone(UTC).isoformat()
        case dict() | list():
            return json.dumps(value, sort_keys=True)
    return repr(value)
