"""Bringing the database's tables up to date at start, safe when several processes start at once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import OperationalError

from imsg_history import partitions
from imsg_history.database import BEGIN, open_engine
from imsg_history.migrations import HEAD, VERSIONS

LOCK = 0x694D5347_0001
"""The advisory lock under which PostgreSQL's tables are changed: `iMSG` in hexadecimal, history's first."""

LOCK_TIMEOUT_S = 60
"""How long one process waits while another migrates."""


def migrate(url: URL, now: datetime) -> None:
    """Run what steps are missing and make the partitions of these months.

    The first of several processes does it, the others wait for it. Raises SQLAlchemyError where the database is away.
    """
    engine = open_engine(url)
    try:
        with _locked(engine) as connection:
            if _version(connection) != HEAD:
                _upgrade(connection)
            if connection.dialect.name == "postgresql":
                partitions.make_months(connection, now)
    finally:
        engine.dispose()


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSIONS):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {VERSIONS}"))  # noqa: S608  our own name
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    # Half a second and 6 MiB that only a change of version is worth.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            yield connection
        return
    with _patiently_opened(engine) as connection:
        connection.execution_options(**{BEGIN: "EXCLUSIVE"})
        with connection.begin():
            yield connection


def _patiently_opened(engine: Engine) -> Connection:
    """Connect to SQLite; a new file's change to WAL answers "locked" without a wait while another makes it too."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
