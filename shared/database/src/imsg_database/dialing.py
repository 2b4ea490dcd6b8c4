"""Connections to PostgreSQL: each host is tried in turn, the socket is watched, the session is bounded."""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import asyncpg
from sqlalchemy import URL
from sqlalchemy.pool import ConnectionPoolEntry

from imsg_database.address import SYSTEM, list_hosts
from imsg_database.sessions import CONNECT_TIMEOUT_S, UNREPLICATED, Session

STATEMENTS = 100
"""The most prepared statements of a connection; the least recently used is dropped."""

SOCKET_OPTIONS = (
    # Detect a dead peer within seconds, not after the kernel's default of 15 minutes.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (
            ("TCP_KEEPIDLE", 5),
            ("TCP_KEEPINTVL", 2),
            ("TCP_KEEPCNT", 2),
            ("TCP_USER_TIMEOUT", 8_000),
        )
        if hasattr(socket, name)  # not everywhere: macOS lacks the last
    ),
)

_HOST_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Errors of one host after which the next is tried: unreachable, starting, full, a standby, disconnected."""

_names = count()


class WatchedConnection(asyncpg.Connection):
    """A connection whose socket detects a dead peer."""

    def __init__(self, protocol: Any, transport: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  asyncpg's own
        super().__init__(protocol, transport, *args, **kwargs)
        connected: socket.socket | None = transport.get_extra_info("socket")
        if connected is not None and connected.family != socket.AF_UNIX:
            for level, option, value in SOCKET_OPTIONS:
                connected.setsockopt(level, option, value)


@dataclass(frozen=True, slots=True)
class DialedConnection:
    """A connection, and whether a pooler such as PgBouncer shares its session among clients."""

    connection: WatchedConnection
    is_pooled: bool

    async def get(self) -> WatchedConnection:
        """Return the connection: SQLAlchemy's `async_creator_fn`."""
        return self.connection

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `connect` of SQLAlchemy's asyncpg dialect.

        Behind a pooler no prepared statement is kept: the next transaction may run on another server connection.
        """
        arguments: dict[str, Any] = {"async_creator_fn": self.get, "prepared_statement_cache_size": 0}
        if not self.is_pooled:
            arguments |= {"prepared_statement_cache_size": STATEMENTS, "prepared_statement_name_func": _name_statement}
        return arguments


async def dial(url: URL, session: Session, record: ConnectionPoolEntry) -> DialedConnection:
    """Connect to the first host that accepts. Raises OSError, with the text of the last host's error."""
    failure: Exception | None = None
    default: Sequence[tuple[str | None, int | None]] = [(None, None)]  # PGHOST, or the local Unix socket
    for host, port in list_hosts(url) or default:
        for target in _choose_encryption(url, host):
            try:
                dialed = await _open(target, host, port, session)
            except _HOST_ERRORS as error:
                failure = error
                if not isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
                    break
            else:
                dialed.connection.add_log_listener(_record_unreplicated_commits(record))
                return dialed
    raise ConnectionError(str(failure) or "no answer in time") from failure


def _choose_encryption(url: URL, host: str | None) -> list[URL]:
    """Return the URLs to try for a host, in order. Without `sslmode` asyncpg uses TLS where the server offers it.

    On loopback, which needs no encryption, the first has no TLS (Debian's servers offer it there too): it would cost a
    handshake for each connection, encryption of each byte and 3 MiB for each service.
    """
    if "sslmode" in url.query or "PGSSLMODE" in os.environ or not _is_this_machine(host):
        return [url]
    return [url.update_query_dict({"sslmode": "disable"}), url]


def _is_this_machine(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


async def _open(url: URL, host: str | None, port: int | None, session: Session) -> DialedConnection:
    """Connect and begin the session. Raises OSError, TimeoutError and asyncpg's errors."""
    connection = await _dial(url, host, port, session)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return DialedConnection(connection, await _begin(connection, session))
    except BaseException:
        connection.terminate()
        raise


async def _dial(url: URL, host: str | None, port: int | None, session: Session) -> WatchedConnection:
    query = {key: value for key, value in url.query.items() if key not in ("host", "port")}
    options: dict[str, Any] = {}
    if query.get("sslrootcert") == SYSTEM:
        del query["sslrootcert"]
        options["ssl"] = ssl.create_default_context()
    target = url.set(drivername="postgresql", host=None, port=None, query=query)
    return await asyncpg.connect(
        target.render_as_string(hide_password=False),
        host=host,
        port=port,
        timeout=CONNECT_TIMEOUT_S,
        connection_class=WatchedConnection,
        statement_cache_size=0,  # SQLAlchemy caches them (`DialedConnection.arguments`)
        server_settings={"application_name": session.name},
        **options,
    )


async def _begin(connection: WatchedConnection, session: Session) -> bool:
    """Set the session's timeouts unless a pooler shares it with other clients; return whether one does."""
    if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
        return True
    # Plan each statement with its values: the generic plan of a prepared statement ignores the user and the LIMIT, and
    # sorts the whole history of a user with many messages.
    settings = {"plan_cache_mode": "force_custom_plan", **session.bounds_ms}
    await connection.execute(";".join(f"SET {name} = {value}" for name, value in settings.items()))
    return False


def _record_unreplicated_commits(record: ConnectionPoolEntry) -> Callable[[Any, asyncpg.PostgresLogMessage], None]:
    """Return a listener that notes commits which no synchronous standby confirmed: PostgreSQL only logs a warning."""

    def on_notice(_: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.server_source_function == "SyncRepWaitForLSN":
            record.info[UNREPLICATED] = True

    return on_notice


def _name_statement() -> str:
    return f"imsg_{next(_names)}"
