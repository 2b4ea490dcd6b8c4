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

from imsg_database.address import SYSTEM, find_hosts
from imsg_database.sessions import CONNECT_TIMEOUT_S, UNREPLICATED, Session

STATEMENTS = 100
"""The most prepared statements of a connection; the least recently used is dropped."""

SOCKET_OPTIONS = (
    # A peer that vanished without a word is noticed within seconds, not after the kernel's quarter of an hour.
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

_ELSEWHERE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Errors of one host after which the next is tried: unreachable, starting, full, a standby, disconnected."""

_names = count()


class Dialed(asyncpg.Connection):
    """A connection whose socket detects a dead peer."""

    def __init__(self, protocol: Any, transport: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  asyncpg's own
        super().__init__(protocol, transport, *args, **kwargs)
        connected: socket.socket | None = transport.get_extra_info("socket")
        if connected is not None and connected.family != socket.AF_UNIX:
            for level, option, value in SOCKET_OPTIONS:
                connected.setsockopt(level, option, value)


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection, and whether the session behind it is ours alone."""

    connection: Dialed
    is_pooled: bool

    async def give(self) -> Dialed:
        """Return the connection, as SQLAlchemy asks for it."""
        return self.connection

    def arguments(self) -> dict[str, Any]:
        """Tell SQLAlchemy's asyncpg how to use it.

        Behind a pooler, such as PgBouncer by transactions, a statement is prepared without a name and used at once:
        the next one may be another server's.
        """
        given: dict[str, Any] = {"async_creator_fn": self.give, "prepared_statement_cache_size": 0}
        if not self.is_pooled:
            given |= {"prepared_statement_cache_size": STATEMENTS, "prepared_statement_name_func": _name_statement}
        return given


async def dial(url: URL, session: Session, record: ConnectionPoolEntry) -> Opened:
    """Connect to the first host that accepts. Raises OSError, with the text of the last host's error."""
    failure: Exception | None = None
    nowhere: Sequence[tuple[str | None, int | None]] = [(None, None)]  # as PGHOST says, or by this machine's socket
    for host, port in find_hosts(url) or nowhere:
        for place in _choose_encryption(url, host):
            try:
                opened = await _open(place, host, port, session)
            except _ELSEWHERE as error:
                failure = error
                if not isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
                    break
            else:
                opened.connection.add_log_listener(_hear_what_is_not_replicated(record))
                return opened
    raise ConnectionError(str(failure) or "no answer in time") from failure


def _choose_encryption(url: URL, host: str | None) -> list[URL]:
    """Say how a host is tried: as the URL says, which is with TLS where the server offers it.

    Within this machine, where nobody listens, without TLS first (Debian's servers offer it there too): it would cost a
    handshake for each connection, its arithmetic for each byte and 3 MiB for each service.
    """
    if "sslmode" in url.query or "PGSSLMODE" in os.environ or not _is_this_machine(host):
        return [url]
    return [url.update_query_dict({"sslmode": "disable"}), url]


def _is_this_machine(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


async def _open(url: URL, host: str | None, port: int | None, session: Session) -> Opened:
    """Connect and begin the session. Raises OSError, TimeoutError and asyncpg's errors."""
    connection = await _dial(url, host, port, session)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return Opened(connection, await _begin(connection, session))
    except BaseException:
        connection.terminate()
        raise


async def _dial(url: URL, host: str | None, port: int | None, session: Session) -> Dialed:
    query = {key: value for key, value in url.query.items() if key not in ("host", "port")}
    given: dict[str, Any] = {}
    if query.get("sslrootcert") == SYSTEM:
        del query["sslrootcert"]
        given["ssl"] = ssl.create_default_context()
    place = url.set(drivername="postgresql", host=None, port=None, query=query)
    return await asyncpg.connect(
        place.render_as_string(hide_password=False),
        host=host,
        port=port,
        timeout=CONNECT_TIMEOUT_S,
        connection_class=Dialed,
        statement_cache_size=0,  # SQLAlchemy keeps them, by `Opened.arguments`
        server_settings={"application_name": session.name},
        **given,
    )


async def _begin(connection: Dialed, session: Session) -> bool:
    """Bound the session where it is ours; return whether it is a pooler's, and with it everybody's."""
    if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
        return True
    # Planned with its values each time: the plan that PostgreSQL keeps for a prepared statement knows neither the user
    # nor how few rows LIMIT wants, and sorts a big user's whole history.
    settings = {"plan_cache_mode": "force_custom_plan", **session.bounds_ms}
    await connection.execute(";".join(f"SET {name} = {value}" for name, value in settings.items()))
    return False


def _hear_what_is_not_replicated(record: ConnectionPoolEntry) -> Callable[[Any, asyncpg.PostgresLogMessage], None]:
    """Note a commit that gave up waiting for its synchronous standby: PostgreSQL warns, and calls it done."""

    def on_notice(_: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.server_source_function == "SyncRepWaitForLSN":
            record.info[UNREPLICATED] = True

    return on_notice


def _name_statement() -> str:
    return f"imsg_{next(_names)}"
