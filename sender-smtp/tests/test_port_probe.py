"""Port and security that do not fit each other, named in time."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from imsg_contract.results import Again, Blocked
from imsg_smtp.connection import Connection
from imsg_smtp.port_probe import connect_or_explain, find_mismatch
from imsg_smtp.server_address import ServerAddress, Timeouts
from imsg_smtp.settings import Security
from imsg_testing.smtp_server import Act, smtp_server

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
async def port_of(kind: str) -> AsyncIterator[int]:
    tls = server_tls()
    async with smtp_server(tls=tls if kind == "tls" else None, starttls=tls if kind == "starttls" else None) as server:
        yield server.port


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
async def test_a_port_that_speaks_otherwise_is_named(spoken: str, security: Security, remedy: str) -> None:
    async with port_of(spoken) as port:
        result = await connect_or_explain(address(port, security), PATIENT)
        assert isinstance(result, Blocked)
        assert result.scope == f"localhost:{port}"
        assert remedy in result.detail


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
async def test_a_port_that_speaks_as_it_should_is_used(security: Security) -> None:
    async with port_of(security) as port:
        connection = await connect_or_explain(address(port, security), PATIENT)
        assert isinstance(connection, Connection)
        connection.abort()
        assert await find_mismatch(address(port, security)) is None


async def test_what_speaks_no_mail_at_all_is_left_to_the_time_outs() -> None:
    async with smtp_server({"GREETING": Act.HANG}) as server:
        result = await connect_or_explain(address(server.port, "none"), Timeouts(greeting_s=7))
        assert isinstance(result, Again)
        assert result.code == "timeout"


async def test_who_is_cancelled_leaves_no_connection_behind() -> None:
    async with port_of("tls") as port:
        trying = asyncio.create_task(connect_or_explain(address(port, "none"), PATIENT))
        await asyncio.sleep(0.2)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
