"""The database's address: what IMSG_DATABASE_URL may say, and the file that it may name."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from imsg_runtime.settings import StartError, variable

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""Scheme → what SQLAlchemy calls it; psycopg drives with and without an event loop, SQLite's driver is chosen then."""


def read_url(url: str) -> URL:
    """Read `sqlite:///path` or `postgresql://…`; the driver is filled in. Raises StartError for anything else."""
    name = variable("database_url")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StartError(f"{name} is no URL; write sqlite:///path or postgresql://user:password@host/name.") from error
    driver = DRIVERS.get(parsed.drivername.partition("+")[0])
    if driver is None:
        raise StartError(f"{name} must begin with sqlite:/// or postgresql://.")
    if driver == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StartError(f"{name} must name a file, as sqlite:///path does, since several connections share it.")
    return parsed.set(drivername=driver)


def is_sqlite(url: URL) -> bool:
    """Tell whether it is SQLite; the other is PostgreSQL."""
    return url.get_backend_name() == "sqlite"


def make_file(url: URL) -> None:
    """Make SQLite's file, for its owner's eyes; its companions get the same mode. Raises StartError."""
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StartError(
            f"the file {path} of {variable('database_url')} can't be written ({error.strerror}); choose another."
        ) from error
