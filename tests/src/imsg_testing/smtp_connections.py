"""Connections of sender-smtp to a server that misbehaves on order, and mails to send."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from imsg_contract.results import Result
from imsg_delivery.provider_pool import ProviderPool
from imsg_delivery.routes import Facts, Route
from imsg_smtp.connection import Connection
from imsg_smtp.connection_pool import ConnectionPool, Limits
from imsg_smtp.connector import connect
from imsg_smtp.domains import Domains
from imsg_smtp.mail_server import MailServer
from imsg_smtp.mime import File, Mail, MailContent, render
from imsg_smtp.replies import PROVIDER
from imsg_smtp.senders import Sender
from imsg_smtp.server_address import ServerAddress, Timeouts
from imsg_testing.smtp_server import ScriptedReply, SmtpServer, smtp_server

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
LONG_S = 30
QUICK = Timeouts(
    connect_s=LONG_S, greeting_s=LONG_S, command_s=LONG_S, data_s=LONG_S, block_s=LONG_S, dot_s=LONG_S, reset_s=LONG_S,
    probe_s=LONG_S, quit_s=0.1,
)  # fmt: skip
SHORT_S = 0.1
"""For a wait that is to run out; every other may be long, so that a busy machine changes no result."""
IMPATIENT = replace(QUICK, greeting_s=SHORT_S, command_s=SHORT_S, data_s=SHORT_S, block_s=SHORT_S, reset_s=SHORT_S)
IMPATIENT_AFTER_THE_DOT = replace(QUICK, dot_s=SHORT_S)
Replies = Mapping[str, ScriptedReply | Sequence[ScriptedReply]]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Sending:
    """A mail server as the channel uses it, in a pool of its own."""

    def __init__(self, server: MailServer, clock: Callable[[], float]) -> None:
        self.server = server
        self.pool = ProviderPool(PROVIDER, [Route("default")], clock, stays=())

    async def send(self, mail: Mail) -> Result:
        """Send a mail."""
        facts = Facts(mail.message_id, mail.recipient, mail.sender)
        result = await self.pool.send(mail, facts, {"default": self.server})
        assert result is not None
        return result


@asynccontextmanager
async def sending_to(
    address: ServerAddress,
    limits: Limits | None = None,
    timeouts: Timeouts = QUICK,
    clock: Callable[[], float] | None = None,
    domains: Domains | None = None,
) -> AsyncIterator[Sending]:
    """Send by the server at an address."""
    clock = clock or Clock()
    connections = ConnectionPool(lambda: connect(address, timeouts), address.scope, limits or Limits(), clock)
    server = MailServer(address.scope, connections, clock, domains)
    try:
        yield Sending(server, clock)
    finally:
        await server.close()


OFFERED: list[str] = []
"""What the test's server offers."""


def mail(
    n: int = 0,
    address: str = "zhang@example.com",
    letter: MailContent | None = None,
    sender: str = "noreply@example.com",
) -> Mail:
    """Make a small mail."""
    letter = letter or MailContent("会议", "下午两点半\n.\n")
    rendered = render(letter, Sender("天存", sender), REQUEST, datetime.now(UTC))
    return rendered.make_mail(n, address)


def large_mail(octets: int = 16 * 1024 * 1024) -> Mail:
    """Make one that no socket buffer holds."""
    return mail(letter=MailContent("x", "x", None, (File("a.bin", "application/zip", bytes(octets)),)))


def address_of(server: SmtpServer) -> ServerAddress:
    """Return the address of a server without TLS."""
    return ServerAddress(server.host, server.port, "none", "example.com", None)


@asynccontextmanager
async def connecting(replies: Replies, timeouts: Timeouts = QUICK) -> AsyncIterator[tuple[SmtpServer, Connection]]:
    """Connect to a server that answers so, which offers what `OFFERED` says; wait so long from then on."""
    async with smtp_server(replies, extensions=OFFERED) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection), connection
        connection._timeouts = timeouts
        try:
            yield server, connection
        finally:
            connection.abort()
