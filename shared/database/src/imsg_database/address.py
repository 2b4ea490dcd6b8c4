"""The database's address: what IMSG_DATABASE_URL may say, and the file that it may name."""

from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from imsg_runtime.settings import StartError, variable

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
"""Scheme → what SQLAlchemy calls it; SQLite has a driver with and one without an event loop, chosen where it is opened.
"""

WRITABLE = "read-write"
"""Which of several hosts is ours: the one that takes writes, since a standby answers too."""

POSTGRES_PORT = 5432

SPOKEN = frozenset(
    (
        "host", "port", "user", "password", "dbname", "passfile", "service", "servicefile", "target_session_attrs",
        "sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation",
        "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib", "options",
    )
)  # fmt: skip
"""Parameters of a PostgreSQL URL that the driver honours, by libpq's names
(https://www.postgresql.org/docs/current/libpq-connect.html)."""

OURS = frozenset(
    (
        "application_name", "fallback_application_name", "client_encoding", "connect_timeout", "keepalives",
        "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "gssencmode", "gssdelegation",
        "channel_binding", "sslcompression", "sslsni", "sslcertmode", "load_balance_hosts",
    )
)  # fmt: skip
"""Parameters that libpq knows too and that change nothing here: we set these ourselves, or do without."""

SECURING = {"gssencmode": ("disable", "prefer"), "channel_binding": ("disable", "prefer")}
"""Of those, what may be asked for: what else a connection would have to hold, the driver can't do."""

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

SYSTEM = "system"
"""What libpq calls the certificates that the machine trusts, in the place of a file."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


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
    return parsed.set(drivername=driver) if driver == "sqlite" else _read_parameters(parsed.set(drivername=driver))


def _read_parameters(url: URL) -> URL:
    """Keep the parameters that are honoured. Raises StartError for what can't be, or isn't known."""
    name, given = variable("database_url"), url.query
    for key, value in given.items():
        if key not in SPOKEN | OURS:
            raise StartError(f"{name} has a parameter {key!r}, which iMSG doesn't know; leave it out.")
        if value not in SECURING.get(key, (value,)):
            raise StartError(f"{name} asks for {key}={value}, which can't be had; leave it out, or use sslmode.")
    mode = given.get("sslmode")
    if mode is not None and mode not in SSL_MODES:
        raise StartError(f"{name} has sslmode={mode}; write one of {', '.join(SSL_MODES)}.")
    for key in FILES:
        if (path := given.get(key)) is not None and path != SYSTEM and not Path(str(path)).is_file():
            raise StartError(f"{name} has {key}={path}, where there is no file.")
    return url.difference_update_query(OURS)


def hosts(url: str) -> list[tuple[str, int]]:
    """List the hosts of a PostgreSQL URL with their ports, for who looks whether they answer. Raises StartError."""
    parsed = read_url(url)
    return find_hosts(parsed) or [("127.0.0.1", parsed.port or POSTGRES_PORT)]


def find_hosts(url: URL) -> list[tuple[str, int]]:
    """Find the hosts that a URL of `read_url` names, with their ports; a folder is a socket's. It may name none."""
    names, ports = (_split(url.query.get(key)) for key in ("host", "port"))
    if not names:
        return [] if url.host is None else [(url.host, url.port or POSTGRES_PORT)]
    each = ports * len(names) if len(ports) == 1 else ports or [""] * len(names)
    return [(name, int(port or POSTGRES_PORT)) for name, port in zip(names, each, strict=True)]


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
