"""Replies that are unreadable, grouped, early, late or repeated: none is taken for another's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from imsg_contract.results import Refused, Sent, Unknown
from imsg_smtp.connection import Connection, ConnectionLost
from imsg_smtp.connector import connect
from imsg_smtp.server_address import ServerAddress
from imsg_testing.smtp_connections import (
    IMPATIENT,
    IMPATIENT_AFTER_THE_DOT,
    OFFERED,
    QUICK,
    Replies,
    connecting,
    large_mail,
    mail,
)
from imsg_testing.smtp_server import Held, Raw

pytestmark = pytest.mark.usefixtures("_offered")


@asynccontextmanager
async def pausing_until_data(*, as_one: bool = True) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a server that answers an envelope only once it has the whole of it: in one packet, or octet by octet."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-mail.example.com\r\n250 PIPELINING\r\n")
                continue
            seen.append(verb)
            if verb == b"DATA":
                replies = b"250 2.1.0 Ok\r\n250-2.1.5 Ok\r\n250 2.1.5 really\r\n354 go\r\n"
                for octets in [replies] if as_one else [bytes([octet]) for octet in replies]:
                    writer.write(octets)
                    await writer.drain()
                    await asyncio.sleep(0)
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.0.0 Ok\r\n")
        writer.close()

    async with serving(serve) as port:
        yield port, seen


@asynccontextmanager
async def willing_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a server that knows li@example.com alone, and wants a body for whomever."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        while line := await reader.readline():
            match line[:4].upper():
                case b"EHLO":
                    writer.write(b"250-mail.example.com\r\n250 PIPELINING\r\n")
                case b"RCPT":
                    writer.write(b"250 2.1.5 Ok\r\n" if b"<li@" in line else b"550 5.1.1 no such user\r\n")
                case b"DATA":
                    writer.write(b"354 go\r\n")
                    bodies.append(b"")
                    while (data_line := await reader.readline()) != b".\r\n":
                        bodies[-1] += data_line
                    writer.write(b"250 2.0.0 Ok\r\n" if bodies[-1] else b"554 5.5.1 no valid recipients\r\n")
                case _:
                    writer.write(b"250 2.0.0 Ok\r\n")
        writer.close()

    async with serving(serve) as port:
        yield port, bodies


@asynccontextmanager
async def serving(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve on a free port of this machine."""
    tasks: set[asyncio.Task[None]] = set()

    async def track(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(track, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_cancelled_probe_costs_the_connection() -> None:
    async with connecting({"NOOP": Held("250 2.0.0 late")}) as (server, connection):
        asking = asyncio.create_task(connection.is_alive())
        await server.wait_seen("NOOP")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.release()
        assert not connection.is_usable


@pytest.mark.parametrize(
    "noise", [b"what?\r\n", b"\x00\xff\xfe\r\n", b"25\r\n", b"250", b"999 5.1.1 no\r\n", b"x" * 70_000]
)
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_gibberish_before_the_dot_is_tried_again_on_another_connection(command: str, noise: bytes) -> None:
    async with connecting({command: Raw(noise)}, IMPATIENT) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, ConnectionLost)
        assert not connection.is_usable
        assert server.mails == []


@pytest.mark.parametrize(
    "noise", [b"what?\r\n", b"\x00\xff\xfe\r\n", b"25", b"999 hm\r\n", b"354 go on\r\n", b"x" * 70_000]
)
async def test_gibberish_after_the_dot_leaves_the_outcome_unknown(noise: bytes) -> None:
    async with connecting({"DOT": Raw(noise)}, IMPATIENT_AFTER_THE_DOT) as (_, connection):
        assert isinstance(await connection.send(mail()), Unknown)
        assert not connection.is_usable


async def test_a_cancelled_mail_never_leaves_its_late_reply_to_the_next_one() -> None:
    async with connecting({"RCPT": [Held("250 2.1.5 late")]}) as (server, connection):
        sending = asyncio.create_task(connection.send(mail()))
        await server.wait_seen("RCPT")
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        server.release()
        assert not connection.is_usable
        assert not await connection.is_alive()


@pytest.mark.parametrize(
    "replies",
    [
        {"MAIL": Raw(b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n")},
        {"RCPT": Raw(b"250 2.1.5 Ok\r\n354 go\r\n")},
        {"DATA": Raw(b"354 go\r\n250 2.0.0 queued\r\n")},
        {"DATA": "250 2.1.5 shifted by one"},
    ],
)
async def test_replies_that_are_out_of_step_are_noticed_before_the_mail_is_sent(replies: Replies) -> None:
    async with connecting(replies) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, ConnectionLost)
        assert result.again.code == "out_of_step"
        assert not connection.is_usable
        assert server.mails == []


async def test_the_envelope_goes_in_one_write_where_the_server_takes_it() -> None:
    """The server answers nothing before it has all three: without PIPELINING it would wait for ever."""
    async with pausing_until_data() as (port, seen):
        connection = await connect(ServerAddress("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(mail()), Sent)
        assert seen == [b"MAIL", b"RCPT", b"DATA"]
        connection.abort()


@pytest.mark.parametrize("as_one", [True, False])
async def test_replies_to_a_group_may_come_in_one_packet_or_octet_by_octet(as_one: bool) -> None:  # noqa: FBT001
    async with pausing_until_data(as_one=as_one) as (port, _):
        connection = await connect(ServerAddress("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        for n in range(3):
            assert isinstance(await connection.send(mail(n)), Sent)
        connection.abort()


async def test_a_body_without_recipients_is_a_lone_dot() -> None:
    """RFC 2920, section 3.1: DATA is answered 354 although every recipient was refused."""
    async with willing_server() as (port, bodies):
        connection = await connect(ServerAddress("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert await connection.send(mail()) == Refused("smtp", "550 5.1.1", "5.1.1 no such user")
        assert bodies == [b""]
        assert connection.is_usable
        assert isinstance(await connection.send(mail(1, "li@example.com")), Sent)
        assert bodies[1].startswith(b"To: li@example.com\r\n")
        connection.abort()


async def test_a_missing_reply_lets_no_body_follow() -> None:
    async with connecting({"RCPT": Raw(b"")}, IMPATIENT) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, ConnectionLost)
        assert not connection.is_usable
        assert server.mails == []


@asynccontextmanager
async def interrupting_server(answer: bytes, thinks_s: float = 0.0) -> AsyncIterator[int]:
    """Run a server that answers a while after it has a part of the body, and reads no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                await reader.readexactly(400_000)
                await asyncio.sleep(thinks_s)
                writer.write(answer)
                await asyncio.sleep(60)
            offers = "\r\n250-".join(["mail.example.com", *OFFERED[:-1]])
            ehlo = f"250-{offers}\r\n250 {OFFERED[-1]}\r\n".encode()
            writer.write(ehlo if line.upper().startswith(b"EHLO") else b"250 2.0.0 Ok\r\n")

    async with serving(serve) as port:
        yield port


@pytest.mark.parametrize("thinks_s", [0.0, 0.5], ids=["at once", "once no socket holds more"])
async def test_an_answer_within_the_body_is_read_and_ends_the_session(thinks_s: float) -> None:
    async with interrupting_server(b"552 5.3.4 too big\r\n", thinks_s) as port:
        connection = await connect(ServerAddress("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert await connection.send(large_mail()) == Refused("smtp", "552 5.3.4", "5.3.4 too big")
        assert not connection.is_usable


@pytest.mark.parametrize("answer", [b"421 4.3.2 shutting down\r\n", b"250 2.0.0 queued\r\n"])
async def test_a_farewell_or_a_yes_within_the_body_is_no_acceptance(answer: bytes) -> None:
    async with interrupting_server(answer) as port:
        connection = await connect(ServerAddress("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(large_mail()), ConnectionLost)
        assert not connection.is_usable


async def test_a_second_reply_after_the_dot_ends_the_session_and_not_the_mail() -> None:
    async with connecting({"DOT": Raw(b"250 2.0.0 queued\r\n250 2.0.0 queued\r\n")}) as (_, connection):
        assert isinstance(await connection.send(mail()), Sent)
        assert not connection.is_usable


async def test_an_unexpected_line_ends_the_session_before_the_next_mail() -> None:
    async with connecting({}) as (server, connection):
        assert isinstance(await connection.send(mail()), Sent)
        (session,) = server.open
        session.transport.write(b"250 2.0.0 by the way\r\n")
        async with asyncio.timeout(60):
            while connection.is_usable:  # noqa: ASYNC110  nothing tells when a line has arrived
                await asyncio.sleep(0.01)
        assert not await connection.is_alive()
        assert len(server.mails) == 1
