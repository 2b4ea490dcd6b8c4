"""INSERT … ON CONFLICT, which SQLAlchemy has in a dialect of each database."""

from typing import TypeAlias

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def insert_into(table: Table, *, is_postgres: bool) -> Insert:
    """Return an insert in the database's dialect."""
    return postgresql.insert(table) if is_postgres else sqlite.insert(table)
