"""A connection of sender-smtp's to a server that misbehaves as a test says, and mails to send over it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from imsg_smtp.connections import Connection
from imsg_smtp.mime import File, Letter, Mail, render
from imsg_smtp.opening import connect
from imsg_smtp.senders import Sender
from imsg_smtp.server import Server, Timeouts
from imsg_testing.smtp_server import SmtpServer, Step, smtp_server

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
QUICK = Timeouts(connect_s=5, greeting_s=5, command_s=5, data_s=5, block_s=5, dot_s=5, reset_s=5, probe_s=5, quit_s=0.1)
SHORT_S = 0.1
"""For a wait that is to run out; every other may be long, so that a busy machine changes no result."""
IMPATIENT = replace(QUICK, greeting_s=SHORT_S, command_s=SHORT_S, data_s=SHORT_S, block_s=SHORT_S, reset_s=SHORT_S)
IMPATIENT_AFTER_THE_DOT = replace(QUICK, dot_s=SHORT_S)
Replies = Mapping[str, Step | Sequence[Step]]

OFFERED: list[str] = []
"""What the test's server offers."""


def mail(n: int = 0, address: str = "zhang@example.com", letter: Letter | None = None) -> Mail:
    """Make a small mail."""
    rendered = render(
        letter or Letter("会议", "下午两点半\n.\n"), Sender("天存", "noreply@example.com"), REQUEST, datetime.now(UTC)
    )
    return rendered.address_to(n, address)


def large_mail(octets: int = 16 * 1024 * 1024) -> Mail:
    """Make one that no socket buffer holds."""
    return mail(letter=Letter("x", "x", None, (File("a.bin", "application/zip", bytes(octets)),)))


def address_of(server: SmtpServer) -> Server:
    """Say where a server is, in clear."""
    return Server(server.host, server.port, "none", "example.com", None)


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
