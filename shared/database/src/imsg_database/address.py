"""Parsing of IMSG_DATABASE_URL, and creation of SQLite's file."""

from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from imsg_runtime.settings import StartError, variable

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
"""Scheme → SQLAlchemy's driver name. SQLite has an asynchronous and a blocking driver; the engine chooses."""

WRITABLE = "read-write"
"""The default of `target_session_attrs` for several hosts: the primary, since a standby accepts connections too."""

POSTGRES_PORT = 5432

SUPPORTED = frozenset(
    (
        "host", "port", "user", "password", "dbname", "passfile", "service", "servicefile", "target_session_attrs",
        "sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation",
        "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib", "options",
    )
)  # fmt: skip
"""Parameters of a PostgreSQL URL that the driver supports, by libpq's names
(https://www.postgresql.org/docs/current/libpq-connect.html)."""

IGNORED = frozenset(
    (
        "application_name", "fallback_application_name", "client_encoding", "connect_timeout", "keepalives",
        "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "gssencmode", "gssdelegation",
        "channel_binding", "sslcompression", "sslsni", "sslcertmode", "load_balance_hosts",
    )
)  # fmt: skip
"""Parameters of libpq that are accepted and dropped: iMSG sets them itself or does not need them."""

ACCEPTED_VALUES = {"gssencmode": ("disable", "prefer"), "channel_binding": ("disable", "prefer")}
"""The accepted values of dropped parameters that secure a connection: the driver supports no others."""

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

SYSTEM = "system"
"""The value of `sslrootcert` that means the machine's trusted certificates."""

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def read_url(url: str) -> URL:
    """Parse `sqlite:///path` or `postgresql://…` and set the driver. Raises StartError for any other URL.

    PostgreSQL may have several hosts, `postgresql://user:password@h1:5432,h2:5432/name`: each new connection goes to
    the first that takes writes, unless `?target_session_attrs=` says otherwise.
    """
    name = variable("database_url")
    try:
        parsed = _read_hosts(url)
    except (ArgumentError, ValueError) as error:
        raise StartError(
            "{0} is no URL; write sqlite:///path or postgresql://user:password@host/name (several: h1:5432,h2).",
            name,
        ) from error
    driver = DRIVERS.get(parsed.drivername.partition("+")[0])
    if driver is None:
        raise StartError("{0} must begin with sqlite:/// or postgresql://.", name)
    if driver == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StartError("{0} must name a file, as sqlite:///path does, since several connections share it.", name)
    return parsed.set(drivername=driver) if driver == "sqlite" else _read_parameters(parsed.set(drivername=driver))


def _read_parameters(url: URL) -> URL:
    """Drop the ignored parameters. Raises StartError for an unknown parameter or an unsupported value."""
    name, query = variable("database_url"), url.query
    for key, value in query.items():
        if key not in SUPPORTED | IGNORED:
            raise StartError("{0} has a parameter {1}, which iMSG doesn't know; leave it out.", name, f"{key!r}")
        if value not in ACCEPTED_VALUES.get(key, (value,)):
            raise StartError(
                "{0} asks for {1}={2}, which can't be had; leave it out, or use sslmode.", name, key, value
            )
    mode = query.get("sslmode")
    if mode is not None and mode not in SSL_MODES:
        raise StartError("{0} has sslmode={1}; write one of {2}.", name, mode, ", ".join(SSL_MODES))
    for key in FILES:
        if (path := query.get(key)) is not None and path != SYSTEM and not Path(str(path)).is_file():
            raise StartError("{0} has {1}={2}, where there is no file.", name, key, path)
    return url.difference_update_query(IGNORED)


def hosts(url: str) -> list[tuple[str, int]]:
    """Return the (host, port) pairs of a PostgreSQL URL; 127.0.0.1 where it has none. Raises StartError."""
    parsed = read_url(url)
    return list_hosts(parsed) or [("127.0.0.1", parsed.port or POSTGRES_PORT)]


def list_hosts(url: URL) -> list[tuple[str, int]]:
    """Return the (host, port) pairs of a parsed URL, perhaps none; a path is that of a Unix socket."""
    names, ports = (_split(url.query.get(key)) for key in ("host", "port"))
    if not names:
        return [] if url.host is None else [(url.host, url.port or POSTGRES_PORT)]
    ports_of_names = ports * len(names) if len(ports) == 1 else ports or [""] * len(names)
    return [(name, int(port or POSTGRES_PORT)) for name, port in zip(names, ports_of_names, strict=True)]


def _split(value: str | tuple[str, ...] | None) -> list[str]:
    return [] if value is None else ",".join([value] if isinstance(value, str) else value).split(",")


def _read_hosts(url: str) -> URL:
    """Parse a URL with one or several hosts; SQLAlchemy accepts several as parameters only. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    location = rest.partition("/")[0].partition("?")[0]
    credentials, at, hosts = location.rpartition("@")
    if not separator or "," not in hosts:
        return make_url(url)
    pairs = [_read_host(host) for host in hosts.split(",")]
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
    """Return whether a URL is SQLite's; otherwise it is PostgreSQL's."""
    return url.get_backend_name() == "sqlite"


def create_file(url: URL) -> None:
    """Create SQLite's file with mode 0600, which SQLite gives its WAL files too. Raises StartError."""
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StartError(
            "the file {0} of {1} can't be written ({2}); choose another.",
            path,
            variable("database_url"),
            error.strerror,
        ) from error
