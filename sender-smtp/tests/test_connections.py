"""One connection, against a server that misbehaves as each test says (docs/providers.md, E-mail)."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trustme
import uvloop
from pydantic import SecretStr

from imsg_contract.wire import Again, Blocked, Refused, Sent, Unknown
from imsg_smtp.connections import Connection, Lost
from imsg_smtp.mime import File, Letter, Mail, render
from imsg_smtp.opening import connect
from imsg_smtp.senders import Sender
from imsg_smtp.server import Server, Timeouts
from imsg_testing.smtp_server import EXTENSIONS, Act, Held, SmtpServer, Step, smtp_server

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
QUICK = Timeouts(connect_s=5, greeting_s=5, command_s=5, data_s=5, block_s=5, dot_s=5, reset_s=5, probe_s=5, quit_s=0.1)
SHORT_S = 0.1
"""For a wait that is to run out; every other may be long, so that a busy machine changes no result."""
IMPATIENT = replace(QUICK, greeting_s=SHORT_S, command_s=SHORT_S, data_s=SHORT_S, block_s=SHORT_S, reset_s=SHORT_S)
IMPATIENT_AFTER_THE_DOT = replace(QUICK, dot_s=SHORT_S)
Replies = Mapping[str, Step | Sequence[Step]]


OFFERED: list[str] = []
"""What the test's server offers."""


@pytest.fixture(params=["one by one", "in groups"], autouse=True)
def _offered(request: pytest.FixtureRequest) -> None:
    """Run every test against a server with and without PIPELINING."""
    OFFERED[:] = [*EXTENSIONS, *(["PIPELINING"] if request.param == "in groups" else [])]


def mail(n: int = 0, address: str = "zhang@example.com", letter: Letter | None = None) -> Mail:
    rendered = render(
        letter or Letter("会议", "下午两点半\n.\n"), Sender("天存", "noreply@example.com"), REQUEST, datetime.now(UTC)
    )
    return rendered.address_to(n, address)


def large_mail(octets: int = 16 * 1024 * 1024) -> Mail:
    """Make one that no socket buffer holds."""
    return mail(letter=Letter("x", "x", None, (File("a.bin", "application/zip", bytes(octets)),)))


def address_of(server: SmtpServer) -> Server:
    return Server(server.host, server.port, "none", "example.com", None)


@asynccontextmanager
async def connecting(replies: Replies, timeouts: Timeouts = QUICK) -> AsyncIterator[tuple[SmtpServer, Connection]]:
    async with smtp_server(replies, extensions=OFFERED) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection)
        connection._timeouts = timeouts
        try:
            yield server, connection
        finally:
            connection.abort()


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
                    while (one := await reader.readline()) != b".\r\n":
                        bodies[-1] += one
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


async def test_a_mail_arrives_as_it_was_built_and_is_named_by_the_servers_queue() -> None:
    built = mail()
    async with connecting({}) as (server, connection):
        result = await connection.send(built)
        assert result == Sent("smtp", "Q000001", "2.0.0 Ok: queued as Q000001")
        (received,) = server.mails
        assert received.sender == "noreply@example.com"
        assert received.recipients == ("zhang@example.com",)
        assert received.data == built.head + built.body.replace(b"\r\n..", b"\r\n.")
        assert server.lines[0] == "EHLO example.com"
        assert connection.is_usable


async def test_a_mail_is_named_by_its_message_id_where_the_server_names_no_queue() -> None:
    async with connecting({"DOT": "250 OK"}) as (_, connection):
        result = await connection.send(mail(n=3))
        assert result == Sent("smtp", f"<{REQUEST}-3@example.com>", "OK")


async def test_one_connection_takes_mail_after_mail() -> None:
    async with connecting({}) as (server, connection):
        for n in range(20):
            assert isinstance(await connection.send(mail(n, f"user{n}@example.com")), Sent)
        assert server.sessions == 1
        assert [received.recipients[0] for received in server.mails] == [f"user{n}@example.com" for n in range(20)]


async def test_a_cancelled_probe_costs_the_connection() -> None:
    async with connecting({"NOOP": Held("250 2.0.0 late")}) as (server, connection):
        asking = asyncio.create_task(connection.is_alive())
        await server.wait_seen("NOOP")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.release()
        assert not connection.is_usable


async def test_a_large_mail_arrives_byte_for_byte() -> None:
    async with connecting({}) as (server, connection):
        large = large_mail()
        assert isinstance(await connection.send(large), Sent)
        assert server.mails[0].data == large.head + large.body
        assert server.mails[0].options == f"SIZE={large.size}"
        assert len(server.mails[0].data) == large.size


async def test_a_server_without_ehlo_is_greeted_with_helo() -> None:
    async with connecting({"EHLO": "502 5.5.1 not implemented"}) as (server, connection):
        assert isinstance(await connection.send(mail()), Sent)
        assert server.mails[0].options == ""


@pytest.mark.parametrize("command", ["RCPT", "DATA", "DOT"])
async def test_a_permanent_no_from_the_recipient_on_refuses_the_mail_and_keeps_the_session(command: str) -> None:
    async with connecting({command: ["550 5.1.1 no such user"]}) as (server, connection):
        assert await connection.send(mail()) == Refused("smtp", "550 5.1.1", "5.1.1 no such user")
        assert connection.is_usable
        assert isinstance(await connection.send(mail(1, "li@example.com")), Sent)
        assert [received.recipients for received in server.mails] == [("li@example.com",)]


async def test_a_permanent_no_to_the_sender_refuses_nobody_and_keeps_the_session() -> None:
    async with connecting({"MAIL": ["550 5.1.1 no such user"]}) as (server, connection):
        result = await connection.send(mail())
        scope = f"{server.host}:{server.port} from noreply@example.com"
        assert result == Blocked("smtp", scope, "550 5.1.1", "5.1.1 no such user", 300)
        assert connection.is_usable
        assert isinstance(await connection.send(mail(1, "li@example.com")), Sent)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_a_temporary_no_at_any_command_is_tried_again_later(command: str) -> None:
    async with connecting({command: ["451 4.7.1 greylisted"]}) as (server, connection):
        result = await connection.send(mail())
        assert result == Again("smtp", "451 4.7.1", "4.7.1 greylisted", 300)
        assert isinstance(await connection.send(mail()), Sent)
        assert len(server.mails) == 1


async def test_a_transaction_that_cannot_be_reset_ends_the_session_and_keeps_its_result() -> None:
    async with connecting({"RCPT": "550 5.1.1 no", "RSET": Act.HANG}, replace(QUICK, reset_s=SHORT_S)) as (
        _,
        connection,
    ):
        assert await connection.send(mail()) == Refused("smtp", "550 5.1.1", "5.1.1 no")
        assert not connection.is_usable


async def test_a_multi_line_no_is_kept_as_one_line() -> None:
    async with connecting({"RCPT": "550-5.1.1 no such user\r\n550 5.1.1 ask somebody"}) as (_, connection):
        assert await connection.send(mail()) == Refused("smtp", "550 5.1.1", "5.1.1 no such user 5.1.1 ask somebody")


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_connection_that_breaks_before_the_body_is_safe_to_repeat(command: str, act: Act) -> None:
    async with connecting({command: act}) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, Lost)
        assert result.again.code == "disconnected"
        assert not connection.is_usable
        assert server.mails == []


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
async def test_a_connection_that_breaks_within_the_body_is_safe_to_repeat(act: Act) -> None:
    async with connecting({"BODY": act}) as (server, connection):
        assert isinstance(await connection.send(large_mail()), Lost)
        assert server.mails == []


async def test_a_server_that_stops_reading_within_the_body_is_left_in_time() -> None:
    async with connecting({"BODY": Held("")}, IMPATIENT) as (server, connection):
        result = await connection.send(large_mail())
        assert isinstance(result, Lost)
        assert result.is_timeout
        server.release()


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
async def test_a_connection_that_breaks_after_the_dot_leaves_the_outcome_unknown(act: Act) -> None:
    async with connecting({"DOT": act}) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, Unknown)
        assert result.code == "disconnected"
        assert not connection.is_usable
        assert len(server.mails) == 1


async def test_silence_after_the_dot_leaves_the_outcome_unknown() -> None:
    async with connecting({"DOT": Act.HANG}, IMPATIENT_AFTER_THE_DOT) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, Unknown)
        assert result.code == "timeout"
        assert not connection.is_usable
        assert len(server.mails) == 1


async def test_the_wait_after_the_dot_is_the_long_one() -> None:
    patient = replace(QUICK, command_s=0.3, data_s=0.3, block_s=0.3)
    async with connecting({"DOT": Held("250 2.0.0 late")}, patient) as (server, connection):
        sending = asyncio.create_task(connection.send(mail()))
        await server.wait_seen("DOT")
        await asyncio.sleep(1.5 * patient.command_s)  # longer than any other step may take
        server.release()
        assert isinstance(await sending, Sent)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_silence_before_the_dot_is_safe_to_repeat(command: str) -> None:
    async with connecting({command: Act.HANG}, IMPATIENT) as (_, connection):
        result = await connection.send(mail())
        assert isinstance(result, Lost)
        assert result.is_timeout
        assert not connection.is_usable


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_farewell_before_the_body_is_safe_to_repeat(command: str) -> None:
    async with connecting({command: "421 4.7.0 too many mails"}) as (_, connection):
        result = await connection.send(mail())
        assert result == Lost(Again("smtp", "421 4.7.0", "4.7.0 too many mails", 60))
        assert not connection.is_usable


async def test_a_farewell_after_the_dot_is_a_no_and_ends_the_session() -> None:
    async with connecting({"DOT": "421 4.3.0 shutting down"}) as (_, connection):
        assert await connection.send(mail()) == Again("smtp", "421 4.3.0", "4.3.0 shutting down", 60)
        assert not connection.is_usable


@pytest.mark.parametrize(
    "noise", [b"what?\r\n", b"\x00\xff\xfe\r\n", b"25\r\n", b"250", b"999 5.1.1 no\r\n", b"x" * 70_000]
)
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_gibberish_before_the_dot_is_tried_again_on_another_connection(command: str, noise: bytes) -> None:
    async with connecting({command: noise}, IMPATIENT) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, Lost)
        assert not connection.is_usable
        assert server.mails == []


@pytest.mark.parametrize(
    "noise", [b"what?\r\n", b"\x00\xff\xfe\r\n", b"25", b"999 hm\r\n", b"354 go on\r\n", b"x" * 70_000]
)
async def test_gibberish_after_the_dot_leaves_the_outcome_unknown(noise: bytes) -> None:
    async with connecting({"DOT": noise}, IMPATIENT_AFTER_THE_DOT) as (_, connection):
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
        {"MAIL": b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n"},
        {"RCPT": b"250 2.1.5 Ok\r\n354 go\r\n"},
        {"DATA": b"354 go\r\n250 2.0.0 queued\r\n"},
        {"DATA": "250 2.1.5 shifted by one"},
    ],
)
async def test_replies_that_are_out_of_step_are_noticed_before_the_mail_is_sent(replies: Replies) -> None:
    async with connecting(replies) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, Lost)
        assert result.again.code == "out_of_step"
        assert not connection.is_usable
        assert server.mails == []


async def test_the_envelope_goes_in_one_write_where_the_server_takes_it() -> None:
    """The server answers nothing before it has all three: without PIPELINING it would wait for ever."""
    async with pausing_until_data() as (port, seen):
        connection = await connect(Server("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(mail()), Sent)
        assert seen == [b"MAIL", b"RCPT", b"DATA"]
        connection.abort()


@pytest.mark.parametrize("as_one", [True, False])
async def test_replies_to_a_group_may_come_in_one_packet_or_octet_by_octet(as_one: bool) -> None:  # noqa: FBT001
    async with pausing_until_data(as_one=as_one) as (port, _):
        connection = await connect(Server("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        for n in range(3):
            assert isinstance(await connection.send(mail(n)), Sent)
        connection.abort()


async def test_a_body_wanted_for_nobody_is_a_lone_dot() -> None:
    """RFC 2920, section 3.1: DATA is answered 354 although every recipient was refused."""
    async with willing_server() as (port, bodies):
        connection = await connect(Server("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert await connection.send(mail()) == Refused("smtp", "550 5.1.1", "5.1.1 no such user")
        assert bodies == [b""]
        assert connection.is_usable
        assert isinstance(await connection.send(mail(1, "li@example.com")), Sent)
        assert bodies[1].startswith(b"To: li@example.com\r\n")
        connection.abort()


async def test_a_missing_reply_lets_no_body_follow() -> None:
    async with connecting({"RCPT": b""}, IMPATIENT) as (server, connection):
        result = await connection.send(mail())
        assert isinstance(result, Lost)
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
async def test_an_answer_within_the_body_is_heard_and_ends_the_session(thinks_s: float) -> None:
    async with interrupting_server(b"552 5.3.4 too big\r\n", thinks_s) as port:
        connection = await connect(Server("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert await connection.send(large_mail()) == Refused("smtp", "552 5.3.4", "5.3.4 too big")
        assert not connection.is_usable


@pytest.mark.parametrize("answer", [b"421 4.3.2 shutting down\r\n", b"250 2.0.0 queued\r\n"])
async def test_a_farewell_or_a_yes_within_the_body_is_no_acceptance(answer: bytes) -> None:
    async with interrupting_server(answer) as port:
        connection = await connect(Server("127.0.0.1", port, "none", "example.com", None), QUICK)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(large_mail()), Lost)
        assert not connection.is_usable


async def test_a_second_reply_after_the_dot_ends_the_session_and_not_the_mail() -> None:
    async with connecting({"DOT": b"250 2.0.0 queued\r\n250 2.0.0 queued\r\n"}) as (_, connection):
        assert isinstance(await connection.send(mail()), Sent)
        assert not connection.is_usable


async def test_a_line_nobody_asked_for_ends_the_session_before_the_next_mail() -> None:
    async with connecting({}) as (server, connection):
        assert isinstance(await connection.send(mail()), Sent)
        (session,) = server.open
        session.writer.write(b"250 2.0.0 by the way\r\n")
        async with asyncio.timeout(5):
            while connection.is_usable:  # noqa: ASYNC110  nothing tells when a line has arrived
                await asyncio.sleep(0.01)
        assert not await connection.is_alive()
        assert len(server.mails) == 1


async def test_a_server_that_said_farewell_while_idle_is_found_out_by_noop() -> None:
    async with connecting({}) as (server, connection):
        assert isinstance(await connection.send(mail()), Sent)
        await server.farewell()
        assert not await connection.is_alive()


async def test_a_silent_server_is_found_out_by_noop_in_time() -> None:
    async with connecting({"NOOP": Act.HANG}, replace(QUICK, probe_s=SHORT_S)) as (_, connection):
        assert not await connection.is_alive()
        assert not connection.is_usable


async def test_a_mail_larger_than_the_server_takes_is_refused_before_a_byte_of_it_is_sent() -> None:
    async with smtp_server(extensions=["SIZE 1000"]) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection)
        result = await connection.send(mail(letter=Letter("x", "x" * 500 + "\n" + "x" * 500)))
        assert isinstance(result, Refused)
        assert result.code == "too_large"
        assert "1000" in result.detail
        assert "MAIL" not in server.commands
        assert isinstance(await connection.send(mail()), Sent)
        connection.abort()


@pytest.mark.parametrize("extension", ["SIZE", "SIZE 0", "SIZE many"])
async def test_a_server_that_names_no_limit_has_none(extension: str) -> None:
    async with smtp_server(extensions=[extension]) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(mail()), Sent)
        connection.abort()


async def test_an_address_beyond_ascii_is_sent_where_the_server_takes_it() -> None:
    async with connecting({}) as (server, connection):
        assert isinstance(await connection.send(mail(address="张三@xn--fsqu00a.xn--fiqs8s")), Sent)
        assert server.mails[0].recipients == ("张三@xn--fsqu00a.xn--fiqs8s",)
        assert "SMTPUTF8" in server.mails[0].options.split()


async def test_an_address_beyond_ascii_is_refused_where_the_server_does_not_take_it() -> None:
    async with smtp_server(extensions=["SIZE 100000"]) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection)
        result = await connection.send(mail(address="张三@example.com"))
        assert isinstance(result, Refused)
        assert result.code == "no_smtputf8"
        assert isinstance(await connection.send(mail(address="zhang@xn--fsqu00a.xn--fiqs8s")), Sent)
        assert "SMTPUTF8" not in server.mails[0].options
        connection.abort()


async def test_a_port_where_nobody_listens_is_tried_again() -> None:
    async with smtp_server() as server:
        gone = address_of(server)
    result = await connect(gone, QUICK)
    assert isinstance(result, Again)
    assert result.code == "unreachable"
    assert gone.scope in result.detail


async def test_a_name_without_an_address_is_tried_again() -> None:
    result = await connect(Server("no-such-host.invalid", 25, "none", "example.com", None), QUICK)
    assert isinstance(result, Again)
    assert result.code == "unreachable"


@pytest.mark.parametrize("step", [Act.HANG, Act.DROP, Act.RESET, b"hello\r\n", "421 4.3.2 not now", "450 busy"])
@pytest.mark.parametrize("command", ["GREETING", "EHLO"])
async def test_a_server_that_does_not_let_us_in_for_the_moment_is_tried_again(command: str, step: Step) -> None:
    replies: dict[str, Step | Sequence[Step]] = {command: step, "HELO": step}
    async with smtp_server(replies) as server:
        result = await connect(address_of(server), IMPATIENT)
        assert isinstance(result, Again)


@pytest.mark.parametrize("command", ["GREETING", "HELO"])
async def test_a_server_that_wants_nothing_from_us_is_blocked_and_no_recipient_refused(command: str) -> None:
    async with smtp_server({command: "554 5.7.1 go away", "EHLO": "554 5.7.1 go away"}) as server:
        result = await connect(address_of(server), QUICK)
        assert isinstance(result, Blocked)
        assert result.scope == f"127.0.0.1:{server.port}"
        assert result.code == "554 5.7.1"


# TLS and log-in


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_context(authority: trustme.CA | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority is not None:
        authority.configure_trust(context)
    return context


async def test_starttls_secures_the_session_and_greets_anew(authority: trustme.CA) -> None:
    async with smtp_server(starttls=server_context(authority)) as server:
        connection = await connect(
            Server(server.host, server.port, "starttls", "example.com", client_context(authority)), QUICK
        )
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(mail()), Sent)
        assert server.mails[0].tls
        assert server.commands[:4] == ["GREETING", "EHLO", "STARTTLS", "EHLO"]
        await connection.quit()


async def test_tls_from_the_first_byte(authority: trustme.CA) -> None:
    async with smtp_server(tls=server_context(authority)) as server:
        connection = await connect(
            Server(server.host, server.port, "tls", "example.com", client_context(authority)), QUICK
        )
        assert isinstance(connection, Connection)
        large = large_mail(1_000_000)
        assert isinstance(await connection.send(large), Sent)
        assert server.mails[0].tls
        assert server.mails[0].data == large.head + large.body
        await connection.quit()


async def test_a_server_without_starttls_gets_nothing_where_starttls_is_wanted(authority: trustme.CA) -> None:
    async with smtp_server(users={"imsg": "secret"}) as server:
        wanted = Server(
            server.host,
            server.port,
            "starttls",
            "example.com",
            client_context(authority),
            "imsg",
            SecretStr("secret"),
        )
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "no_starttls"
        assert "IMSG_SMTP__SECURITY" in result.detail
        assert set(server.commands) == {"GREETING", "EHLO"}


async def test_starttls_refused_for_the_moment_is_not_sent_around(authority: trustme.CA) -> None:
    async with smtp_server({"STARTTLS": "454 4.7.0 TLS not available"}, starttls=server_context(authority)) as server:
        wanted = Server(server.host, server.port, "starttls", "example.com", client_context(authority))
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "454 4.7.0"
        assert "MAIL" not in server.commands


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_of_an_unknown_authority_blocks(authority: trustme.CA, security: str) -> None:
    context = server_context(authority)
    async with smtp_server(**{security: context}) as server:  # type: ignore[arg-type]
        wanted = Server(server.host, server.port, security, "example.com", client_context(None))  # type: ignore[arg-type]
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "certificate"
        assert "IMSG_SMTP__CA_FILE" in result.detail


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_for_another_name_blocks(authority: trustme.CA, security: str) -> None:
    context = server_context(authority, "other.example.com")
    async with smtp_server(**{security: context}) as server:  # type: ignore[arg-type]
        wanted = Server(server.host, server.port, security, "example.com", client_context(authority))  # type: ignore[arg-type]
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "certificate"


async def test_tls_against_a_server_that_speaks_in_clear_is_no_way_in(authority: trustme.CA) -> None:
    async with smtp_server() as server:
        wanted = Server(server.host, server.port, "tls", "example.com", client_context(authority))
        assert isinstance(await connect(wanted, IMPATIENT), Again)


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN", "CRAM-MD5", "XOAUTH2 CRAM-MD5 LOGIN PLAIN"])
async def test_a_right_password_logs_in_by_what_the_server_offers(authority: trustme.CA, mechanisms: str) -> None:
    async with smtp_server(
        users={"天存": "密码"}, extensions=[f"AUTH {mechanisms}"], tls=server_context(authority)
    ) as server:
        wanted = Server(
            server.host, server.port, "tls", "example.com", client_context(authority), "天存", SecretStr("密码")
        )
        connection = await connect(wanted, QUICK)
        assert isinstance(connection, Connection)
        assert isinstance(await connection.send(mail()), Sent)
        assert server.mails[0].user == "天存"
        await connection.quit()


async def test_a_wrong_password_blocks_and_is_tried_once(authority: trustme.CA) -> None:
    async with smtp_server(users={"imsg": "right"}, tls=server_context(authority)) as server:
        wanted = Server(
            server.host, server.port, "tls", "example.com", client_context(authority), "imsg", SecretStr("wrong")
        )
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "535 5.7.8"
        assert "wrong" not in result.detail
        assert server.commands.count("AUTH") == 1


async def test_a_mechanism_that_is_refused_gives_way_to_the_next(authority: trustme.CA) -> None:
    async with smtp_server(
        {"AUTH": ["504 5.5.4 not really"]}, users={"imsg": "right"}, tls=server_context(authority)
    ) as server:
        wanted = Server(
            server.host, server.port, "tls", "example.com", client_context(authority), "imsg", SecretStr("right")
        )
        connection = await connect(wanted, QUICK)
        assert isinstance(connection, Connection)
        await connection.quit()


@pytest.mark.parametrize("reply", ["454 4.7.0 Too many login attempts", "530 5.7.0 Must use STARTTLS", "534 5.7.9 no"])
async def test_a_log_in_that_is_not_possible_now_blocks(reply: str) -> None:
    async with smtp_server({"AUTH": reply}, users={"imsg": "right"}) as server:
        wanted = replace(address_of(server), username="imsg", password=SecretStr("right"))
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == reply[:9]


async def test_a_server_that_offers_no_log_in_blocks_where_one_is_set() -> None:
    async with smtp_server() as server:
        wanted = replace(address_of(server), username="imsg", password=SecretStr("right"))
        result = await connect(wanted, QUICK)
        assert isinstance(result, Blocked)
        assert result.code == "no_log_in"


async def test_a_server_that_wants_a_log_in_blocks_where_none_is_set() -> None:
    async with smtp_server(users={"imsg": "right"}) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection)
        result = await connection.send(mail())
        assert isinstance(result, Blocked)
        assert result.code == "530 5.7.0"
        connection.abort()


async def test_leaving_is_bounded_where_the_server_does_not_answer_quit() -> None:
    async with connecting({"QUIT": Act.HANG}) as (_, connection):
        async with asyncio.timeout(2):
            await connection.quit()
        assert not connection.is_usable


def test_the_same_under_uvloop(authority: trustme.CA) -> None:
    async def main() -> None:
        async with smtp_server(starttls=server_context(authority), users={"imsg": "right"}) as server:
            wanted = Server(
                server.host,
                server.port,
                "starttls",
                "example.com",
                client_context(authority),
                "imsg",
                SecretStr("right"),
            )
            connection = await connect(wanted, QUICK)
            assert isinstance(connection, Connection)
            large = large_mail(2_000_000)
            assert isinstance(await connection.send(large), Sent)
            assert isinstance(await connection.send(mail()), Sent)
            assert server.mails[0].data == large.head + large.body
            await connection.quit()
        async with smtp_server({"DOT": Act.RESET}) as server:
            connection = await connect(address_of(server), QUICK)
            assert isinstance(connection, Connection)
            assert isinstance(await connection.send(mail()), Unknown)
            assert not connection.is_usable

    uvloop.run(main())
