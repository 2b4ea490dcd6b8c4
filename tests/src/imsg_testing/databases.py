"""Which databases a test runs on, and their tables read without an event loop."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from imsg_database.address import is_sqlite, read_url
from imsg_database.engines import DatabaseOptions, open_file

on_both_databases = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"])
"""For tests of what differs in SQL, in types or in isolation; the rules of a service run on SQLite alone."""


@contextmanager
def open_database(url: str) -> Iterator[Engine]:
    """Open a database as iMSG has it where it is a file, by psycopg where it is PostgreSQL."""
    parsed = read_url(url)
    if is_sqlite(parsed):
        with open_file(parsed, DatabaseOptions("test")) as engine:
            yield engine
        return
    engine = create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    try:
        yield engine
    finally:
        engine.dispose()
