"""Many values in one statement: as arrays on PostgreSQL, one a column; one by one on SQLite.

A statement with a parameter for each value is another one for each number of them, and PostgreSQL parses and plans it
anew each time. With arrays it is one, prepared once, however many rows there are, at a tenth of the cost of as many
statements.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ARRAY, Column, ColumnElement, Table, any_, bindparam, cast, func, select, tuple_
from sqlalchemy.types import NULLTYPE, TypeEngine

from imsg_database.inserts import Insert, insert_into

V = TypeVar("V")


def insert_rows(table: Table, columns: Sequence[str], *, is_postgres: bool) -> Insert:
    """Begin an insert of rows, which are given to it by `as_parameters`."""
    if not is_postgres:
        return insert_into(table, is_postgres=False).values({name: bindparam(name) for name in columns})
    unnested = (func.unnest(_array(name, table.c[name].type)).label(name) for name in columns)
    return insert_into(table, is_postgres=True).from_select(columns, select(*unnested))


def as_parameters(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, is_postgres: bool) -> Any:  # noqa: ANN401  SQLAlchemy's own union
    """Write rows, one at least, whose values stand in the order of these columns, as a statement takes them."""
    if is_postgres:
        return dict(zip(columns, zip(*rows, strict=True), strict=True))
    return [dict(zip(columns, row, strict=True)) for row in rows]


def is_one_of(column: Column[V], values: Sequence[V], *, is_postgres: bool) -> ColumnElement[bool]:
    """Tell whether a column holds one of some values."""
    if not is_postgres:
        return column.in_(values)
    return column == any_(cast(bindparam(None, values, type_=NULLTYPE), ARRAY(column.type)))


def are_one_of(
    columns: Sequence[Column[Any]], rows: Sequence[Sequence[Any]], *, is_postgres: bool
) -> ColumnElement[bool]:
    """Tell whether some columns hold one of some rows, one at least, whose values stand in their order."""
    if not is_postgres:
        return tuple_(*columns).in_(rows)
    arrays = (
        cast(bindparam(None, list(values), type_=NULLTYPE), ARRAY(column.type))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    )
    return tuple_(*columns).in_(select(*(func.unnest(array) for array in arrays)))


def _array(name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    # Without a type of its own a parameter is not looked at value by value: the driver writes it as what it is cast to.
    return cast(bindparam(name, type_=NULLTYPE), ARRAY(type_))
