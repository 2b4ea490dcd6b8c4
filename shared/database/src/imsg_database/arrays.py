"""Statements with many values: an array parameter for each column on PostgreSQL, a parameter for each value on SQLite.

With a parameter for each value PostgreSQL would parse and plan a new statement for each number of rows. With arrays one
prepared statement serves any number of rows, at a tenth of the cost.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ARRAY, Column, ColumnElement, Table, any_, bindparam, cast, func, select, tuple_
from sqlalchemy.types import NULLTYPE, TypeEngine

from imsg_database.inserts import Insert, insert_into

V = TypeVar("V")


def insert_rows(table: Table, columns: Sequence[str], *, is_postgres: bool) -> Insert:
    """Return an insert of rows; `as_parameters` makes its parameters."""
    if not is_postgres:
        return insert_into(table, is_postgres=False).values({name: bindparam(name) for name in columns})
    unnested = (func.unnest(_array(name, table.c[name].type)).label(name) for name in columns)
    return insert_into(table, is_postgres=True).from_select(columns, select(*unnested))


def as_parameters(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, is_postgres: bool) -> Any:  # noqa: ANN401  SQLAlchemy's own union
    """Return the parameters of a statement for one or more rows, whose values are in the order of `columns`."""
    if is_postgres:
        return dict(zip(columns, zip(*rows, strict=True), strict=True))
    return [dict(zip(columns, row, strict=True)) for row in rows]


def is_one_of(column: Column[V], values: Sequence[V], *, is_postgres: bool) -> ColumnElement[bool]:
    """Return the condition that a column equals one of `values`."""
    if not is_postgres:
        return column.in_(values)
    return column == any_(cast(bindparam(None, values, type_=NULLTYPE), ARRAY(column.type)))


def are_one_of(
    columns: Sequence[Column[Any]], rows: Sequence[Sequence[Any]], *, is_postgres: bool
) -> ColumnElement[bool]:
    """Return the condition that `columns` equal one of `rows` (one or more), whose values are in the same order."""
    if not is_postgres:
        return tuple_(*columns).in_(rows)
    arrays = (
        cast(bindparam(None, list(values), type_=NULLTYPE), ARRAY(column.type))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    )
    return tuple_(*columns).in_(select(*(func.unnest(array) for array in arrays)))


def _array(name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    # NULLTYPE: SQLAlchemy does not convert each value, and the driver encodes the array by the type of the cast.
    return cast(bindparam(name, type_=NULLTYPE), ARRAY(type_))
