"""The database's address: what IMSG_DATABASE_URL may say, and the file that it may name."""

from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from imsg_runtime.settings import StartError, variable

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""Scheme → what SQLAlchemy calls it; psycopg drives with and without an event loop, SQLite's driver is chosen then."""


WRITABLE = "read-write"
"""Which of several hosts is ours: the one that takes writes, since a standby answers too."""

POSTGRES_PORT = 5432


def read_url(url: str) -> URL:
    """Read `sqlite:///path` or `postgresql://…`; the driver is filled in. Raises StartError for anything else.

    PostgreSQL may have several hosts, `postgresql://user:password@h1:5432,h2:5432/name`: each new connection goes to
    the first that takes writes, unless `?target_session_attrs=` says otherwise.
    """
    name = variable("database_url")
    try:
        parsed = _read_hosts(url)
    except (ArgumentError, ValueError) as error:
        raise StartError(
            f"{name} is no URL; write sqlite:///path or postgresql://user:password@host/name (several: h1:5432,h2)."
        ) from error
    driver = DRIVERS.get(parsed.drivername.partition("+")[0])
    if driver is None:
        raise StartError(f"{name} must begin with sqlite:/// or postgresql://.")
    if driver == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StartError(f"{name} must name a file, as sqlite:///path does, since several connections share it.")
    return parsed.set(drivername=driver)


def hosts(url: str) -> list[tuple[str, int]]:
    """List the hosts of a PostgreSQL URL with their ports, for who looks whether they answer. Raises StartError."""
    parsed = read_url(url)
    names, ports = (_split(parsed.query.get(key)) for key in ("host", "port"))
    if not names:
        return [(parsed.host or "127.0.0.1", parsed.port or POSTGRES_PORT)]
    return [(host, int(port or POSTGRES_PORT)) for host, port in zip(names, ports or [""] * len(names), strict=True)]


def _split(value: str | tuple[str, ...] | None) -> list[str]:
    return [] if value is None else ",".join([value] if isinstance(value, str) else value).split(",")


def _read_hosts(url: str) -> URL:
    """Read a URL whose hosts may be several, which SQLAlchemy knows as a parameter alone. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    location = rest.partition("/")[0].partition("?")[0]
    credentials, at, several = location.rpartition("@")
    if not separator or "," not in several:
        return make_url(url)
    pairs = [_read_host(one) for one in several.split(",")]
    parsed = make_url(f"{scheme}://{credentials}{at}{rest[len(location) :]}")
    return parsed.update_query_dict(
        {
            "host": ",".join(host for host, _ in pairs),
            "port": ",".join(str(port) for _, port in pairs),
            "target_session_attrs": parsed.query.get("target_session_attrs", WRITABLE),
        }
    )


def _read_host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"a host is missing beside {text!r}")
    return parts.hostname, parts.port or POSTGRES_PORT


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
