"""Port and security that do not fit each other, named in time."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from imsg_contract.results import Again, Blocked
from imsg_smtp import port_probe
from imsg_smtp.connection import Connection
from imsg_smtp.port_probe import connect_or_explain, find_mismatch
from imsg_smtp.server_address import ServerAddress, Timeouts
from imsg_smtp.settings import Security
from imsg_testing.brokers import is_so
from imsg_testing.loop_time import pass_time
from imsg_testing.smtp_connections import LONG_S
from imsg_testing.smtp_server import Act, SmtpServer, smtp_server

AUTHORITY = trustme.CA()
PATIENT = Timeouts()
"""As in production: a greeting is waited for five minutes."""


def server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


def client_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@asynccontextmanager
async def server_of(kind: str) -> AsyncIterator[SmtpServer]:
    tls = server_tls()
    async with smtp_server(tls=tls if kind == "tls" else None, starttls=tls if kind == "starttls" else None) as server:
        yield server


def address(port: int, security: Security) -> ServerAddress:
    return ServerAddress("localhost", port, security, "example.com", None if security == "none" else client_tls())


@pytest.mark.parametrize(
    ("spoken", "security", "remedy"),
    [
        ("tls", "starttls", "IMSG_SMTP__SECURITY to tls"),
        ("tls", "none", "IMSG_SMTP__SECURITY to tls"),
        ("starttls", "tls", "IMSG_SMTP__SECURITY to starttls"),
        ("none", "tls", "IMSG_SMTP__PORT"),
        ("none", "starttls", "IMSG_SMTP__SECURITY to tls"),
    ],
)
async def test_a_port_that_speaks_otherwise_is_named(
    spoken: str, security: Security, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_probe, "PROBE_S", LONG_S)
    async with server_of(spoken) as server:
        trying = asyncio.create_task(connect_or_explain(address(server.port, security), PATIENT))
        for silent in (1, 2) if spoken == "tls" else ():  # it waits for TLS, as we wait for words, and are asked again
            await is_so(lambda: server.sessions >= silent)  # noqa: B023  awaited here
            pass_time(LONG_S)
        result = await trying
        assert isinstance(result, Blocked)
        assert result.scope == f"localhost:{server.port}"
        assert remedy in result.detail


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
async def test_a_port_that_speaks_as_it_should_is_used(security: Security) -> None:
    async with server_of(security) as server:
        connection = await connect_or_explain(address(server.port, security), PATIENT)
        assert isinstance(connection, Connection)
        connection.abort()
        assert await find_mismatch(address(server.port, security)) is None


async def test_what_speaks_no_mail_at_all_is_left_to_the_time_outs() -> None:
    async with smtp_server({"GREETING": Act.HANG}) as server:
        result = await connect_or_explain(address(server.port, "none"), Timeouts(greeting_s=7))
        assert isinstance(result, Again)
        assert result.code == "timeout"


async def test_who_is_cancelled_leaves_no_connection_behind() -> None:
    async with server_of("tls") as server:
        trying = asyncio.create_task(connect_or_explain(address(server.port, "none"), PATIENT))
        await is_so(lambda: server.sessions > 0)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
