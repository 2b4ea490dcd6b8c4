"""Inserts that say what becomes of a row that is there already, as each database has them."""

from typing import TypeAlias

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def insert_into(table: Table, *, is_postgres: bool) -> Insert:
    """Begin an insert in the database's own dialect."""
    return postgresql.insert(table) if is_postgres else sqlite.insert(table)
