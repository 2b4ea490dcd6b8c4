"""Mails over one connection, against a server that misbehaves as each test says (docs/providers.md, E-mail)."""

import asyncio
from dataclasses import replace

import pytest

from imsg_contract.results import Again, Blocked, Refused, Sent, Unknown
from imsg_smtp.connection import Connection, ConnectionLost
from imsg_smtp.connector import connect
from imsg_smtp.mime import MailContent
from imsg_testing.loop_time import pass_time
from imsg_testing.smtp_connections import (
    IMPATIENT,
    LONG_S,
    QUICK,
    REQUEST,
    SHORT_S,
    address_of,
    connecting,
    large_mail,
    mail,
)
from imsg_testing.smtp_server import Act, Held, smtp_server

pytestmark = pytest.mark.usefixtures("_offered")


async def test_a_mail_arrives_as_it_was_built_and_is_named_by_the_servers_queue() -> None:
    built = mail()
    async with connecting({}) as (server, connection):
        result = await connection.send(built)
        assert result == Sent("smtp", "Q000001", "2.0.0 Ok: queued as Q000001")
        (received,) = server.mails
        assert received.sender == "noreply@example.com"
        assert received.recipients == ("zhang@example.com",)
        assert received.data == built.head + built.body.replace(b"\r\n..", b"\r\n.")
        assert received.client == "example.com"
        assert server.commands[:2] == ["GREETING", "EHLO"]
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


async def test_a_large_mail_arrives_byte_for_byte() -> None:
    async with connecting({}) as (server, connection):
        large = large_mail()
        assert isinstance(await connection.send(large), Sent)
        assert server.mails[0].data == large.head + large.body
        assert server.mails[0].options == f"SIZE={large.size}"
        assert len(server.mails[0].data) == large.size


@pytest.mark.parametrize("command", ["RCPT", "DATA", "DOT"])
async def test_a_permanent_no_from_the_recipient_on_refuses_the_mail_and_keeps_the_session(command: str) -> None:
    async with connecting({command: ["550 5.1.1 no such user"]}) as (server, connection):
        assert await connection.send(mail()) == Refused("smtp", "550 5.1.1", "5.1.1 no such user")
        assert connection.is_usable
        assert isinstance(await connection.send(mail(1, "li@example.com")), Sent)
        assert [received.recipients for received in server.mails] == [("li@example.com",)]


async def test_a_refused_sender_refuses_no_recipient_and_keeps_the_session() -> None:
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
        assert isinstance(result, ConnectionLost)
        assert result.again.code == "disconnected"
        assert not connection.is_usable
        assert server.mails == []


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
async def test_a_connection_that_breaks_within_the_body_is_safe_to_repeat(act: Act) -> None:
    async with connecting({"BODY": act}) as (server, connection):
        assert isinstance(await connection.send(large_mail()), ConnectionLost)
        assert server.mails == []


async def test_a_server_that_stops_reading_within_the_body_is_left_in_time() -> None:
    async with connecting({"BODY": Held("")}, IMPATIENT) as (server, connection):
        result = await connection.send(large_mail())
        assert isinstance(result, ConnectionLost)
        assert not result.may_repeat
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
    async with connecting({"DOT": Act.HANG}) as (server, connection):
        sending = asyncio.create_task(connection.send(mail()))
        await server.wait_seen("DOT")
        pass_time(LONG_S)
        result = await sending
        assert isinstance(result, Unknown)
        assert result.code == "timeout"
        assert not connection.is_usable
        assert len(server.mails) == 1


async def test_the_wait_after_the_dot_is_the_long_one() -> None:
    async with connecting({"DOT": Held("250 2.0.0 late")}, replace(QUICK, dot_s=100 * LONG_S)) as (server, connection):
        sending = asyncio.create_task(connection.send(mail()))
        await server.wait_seen("DOT")
        pass_time(2 * LONG_S)  # longer than any other step may take
        await asyncio.sleep(0.1)
        server.release()
        assert isinstance(await sending, Sent)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_silence_before_the_dot_is_safe_to_repeat(command: str) -> None:
    async with connecting({command: Act.HANG}, IMPATIENT) as (_, connection):
        result = await connection.send(mail())
        assert isinstance(result, ConnectionLost)
        assert not result.may_repeat
        assert not connection.is_usable


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_farewell_before_the_body_is_safe_to_repeat(command: str) -> None:
    async with connecting({command: "421 4.7.0 too many mails"}) as (_, connection):
        result = await connection.send(mail())
        assert result == ConnectionLost(Again("smtp", "421 4.7.0", "4.7.0 too many mails", 60))
        assert not connection.is_usable


async def test_a_farewell_after_the_dot_is_a_no_and_ends_the_session() -> None:
    async with connecting({"DOT": "421 4.3.0 shutting down"}) as (_, connection):
        assert await connection.send(mail()) == Again("smtp", "421 4.3.0", "4.3.0 shutting down", 60)
        assert not connection.is_usable


async def test_a_server_that_sent_421_while_idle_is_detected_by_noop() -> None:
    async with connecting({}) as (server, connection):
        assert isinstance(await connection.send(mail()), Sent)
        await server.close_connections()
        assert not await connection.is_alive()


async def test_a_silent_server_is_found_out_by_noop_in_time() -> None:
    async with connecting({"NOOP": Act.HANG}, replace(QUICK, probe_s=SHORT_S)) as (_, connection):
        assert not await connection.is_alive()
        assert not connection.is_usable


async def test_a_mail_larger_than_the_server_takes_is_refused_before_a_byte_of_it_is_sent() -> None:
    async with smtp_server(extensions=["SIZE 1000"]) as server:
        connection = await connect(address_of(server), QUICK)
        assert isinstance(connection, Connection)
        result = await connection.send(mail(letter=MailContent("x", "x" * 500 + "\n" + "x" * 500)))
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


async def test_leaving_is_bounded_where_the_server_does_not_answer_quit() -> None:
    async with connecting({"QUIT": Act.HANG}) as (_, connection):
        async with asyncio.timeout(60):
            await connection.quit()
        assert not connection.is_usable
