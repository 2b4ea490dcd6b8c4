"""A mail server's connections: kept and used again, opened one at a time in doubt, not called in an outage."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_limits.breakers import MAX_SCOPES, CallScopes
from imsg_smtp.connection_pool import Limits
from imsg_smtp.mail_server import ACCEPTANCE_VALID_S, COOL_OFF_S, FAILURES, UNSPECIFIC_REFUSALS
from imsg_smtp.mime import Mail
from imsg_smtp.replies import BLOCK_S
from imsg_smtp.server_address import ServerAddress
from imsg_testing.loop_time import pass_time
from imsg_testing.smtp_connections import LONG_S, QUICK, Clock, Sending, address_of, sending_to
from imsg_testing.smtp_connections import mail as mail_of
from imsg_testing.smtp_server import Act, Held, Raw, ScriptedReply, SmtpServer, smtp_server

LIMITS = Limits()
PROBING = replace(QUICK, probe_s=0.3)


def mail(n: int = 0, sender: str = "noreply@example.com", domain: str = "example.com") -> Mail:
    return mail_of(n, f"user{n}@{domain}", sender=sender)


async def test_one_mail_after_another_uses_one_connection() -> None:
    async with smtp_server() as server, sending_to(address_of(server)) as sending:
        for n in range(20):
            assert isinstance(await sending.send(mail(n)), Sent)
        assert server.sessions == 1
        assert "NOOP" not in server.commands


async def test_mails_at_once_never_use_more_connections_than_allowed() -> None:
    async with smtp_server() as server, sending_to(address_of(server), Limits(connections=3)) as sending:
        results = await asyncio.gather(*(sending.send(mail(n)) for n in range(60)))
        assert all(isinstance(result, Sent) for result in results)
        assert len(server.mails) == 60
        assert len({received.recipients for received in server.mails}) == 60
        assert server.sessions <= 3


async def test_a_connection_is_left_after_so_many_mails() -> None:
    async with smtp_server() as server, sending_to(address_of(server), Limits(mails=10)) as sending:
        for n in range(25):
            assert isinstance(await sending.send(mail(n)), Sent)
        assert server.sessions == 3
        assert [received.session for received in server.mails] == [1] * 10 + [2] * 10 + [3] * 5
        await server.wait_seen("QUIT", times=2)


@pytest.mark.parametrize("after_s", [LIMITS.age_s, LIMITS.idle_s])
async def test_an_old_connection_and_one_idle_for_long_are_left_without_a_probe(after_s: float) -> None:
    clock = Clock()
    async with smtp_server() as server, sending_to(address_of(server), clock=clock) as sending:
        await sending.send(mail())
        clock.now += after_s + 1
        assert isinstance(await sending.send(mail()), Sent)
        assert server.sessions == 2
        assert "NOOP" not in server.commands
        await server.wait_seen("QUIT")


async def test_an_idle_connection_is_asked_for_a_sign_of_life_before_it_is_used() -> None:
    clock = Clock()
    async with smtp_server() as server, sending_to(address_of(server), clock=clock) as sending:
        await sending.send(mail())
        clock.now += LIMITS.probe_after_s + 1
        assert isinstance(await sending.send(mail()), Sent)
        assert server.commands.count("NOOP") == 1
        assert server.sessions == 1


@pytest.mark.parametrize("noop", [Act.DROP, Act.HANG, "421 4.4.2 timeout", Raw(b"hm\r\n")])
async def test_an_idle_connection_without_a_sign_of_life_is_replaced(noop: ScriptedReply) -> None:
    clock = Clock()
    async with smtp_server({"NOOP": noop}) as server, sending_to(address_of(server), None, PROBING, clock) as sending:
        await sending.send(mail())
        clock.now += LIMITS.probe_after_s + 1
        assert isinstance(await sending.send(mail()), Sent)
        assert server.sessions == 2
        assert len(server.mails) == 2


async def test_unneeded_connections_are_closed() -> None:
    async with smtp_server() as server:
        clock = asyncio.get_running_loop().time
        async with sending_to(address_of(server), Limits(connections=4, idle_s=0.05), clock=clock) as sending:
            await asyncio.gather(*(sending.send(mail(n)) for n in range(4)))
            await server.wait_seen("QUIT", times=server.sessions)


async def test_a_farewell_while_idle_costs_a_new_connection_and_no_mail() -> None:
    async with smtp_server() as server, sending_to(address_of(server)) as sending:
        await sending.send(mail())
        await server.close_connections()
        assert isinstance(await sending.send(mail()), Sent)
        assert server.sessions == 2
        assert len(server.mails) == 2


@pytest.mark.parametrize("step", [Act.DROP, Act.RESET, "421 4.7.0 enough", Raw(b"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n")])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_kept_connection_that_fails_before_the_dot_is_replaced_at_once(
    command: str, step: ScriptedReply
) -> None:
    usual = "354 go" if command == "DATA" else "250 2.0.0 Ok"
    async with smtp_server({command: [usual, step]}) as server, sending_to(address_of(server)) as sending:
        assert isinstance(await sending.send(mail(0)), Sent)
        assert isinstance(await sending.send(mail(1)), Sent)
        assert [received.recipients[0] for received in server.mails] == ["user0@example.com", "user1@example.com"]
        assert server.sessions == 2


async def test_a_fresh_connection_that_fails_before_the_dot_is_not_repeated_at_once() -> None:
    async with smtp_server({"MAIL": Act.DROP}) as server, sending_to(address_of(server)) as sending:
        assert isinstance(await sending.send(mail()), Again)
        assert server.sessions == 1


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
async def test_a_kept_connection_that_fails_after_the_dot_is_never_repeated_here(act: Act) -> None:
    async with smtp_server({"DOT": ["250 2.0.0 Ok", act]}) as server, sending_to(address_of(server)) as sending:
        assert isinstance(await sending.send(mail(0)), Sent)
        assert isinstance(await sending.send(mail(1)), Unknown)
        assert len(server.mails) == 2
        assert isinstance(await sending.send(mail(2)), Sent)
        assert server.sessions == 2


async def test_a_cancelled_mail_costs_its_connection_and_shifts_no_reply() -> None:
    replies: dict[str, list[ScriptedReply]] = {
        "RCPT": [Held("250 2.1.5 late"), "550 5.1.1 no such user", "250 2.1.5 Ok"]
    }
    async with smtp_server(replies) as server, sending_to(address_of(server), Limits(connections=1)) as sending:
        task = asyncio.create_task(sending.send(mail(0)))
        await server.wait_seen("RCPT")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.release()
        assert isinstance(await sending.send(mail(1)), Refused)
        assert isinstance(await sending.send(mail(2)), Sent)
        assert [received.recipients[0] for received in server.mails] == ["user2@example.com"]


async def test_refused_recipients_cost_no_connection_and_are_no_failures_of_the_server() -> None:
    async with smtp_server({"RCPT": ["550 5.1.1 no"] * 5}) as server, sending_to(address_of(server)) as sending:
        results = [await sending.send(mail(n)) for n in range(6)]
        assert [type(result) for result in results] == [Refused] * 5 + [Sent]
        assert server.sessions == 1


async def test_a_server_that_is_away_is_left_alone_after_failures_in_a_row_and_tried_once_later(
    reserved_port: int,
) -> None:
    clock = Clock()
    gone = ServerAddress("127.0.0.1", reserved_port, "none", "example.com", None)
    async with sending_to(gone, clock=clock) as sending:
        for _ in range(FAILURES):
            assert isinstance(await sending.send(mail()), Again)
        assert [block.scope for block in sending.pool.all[0].stats.blocks] == [gone.scope], "shown while mails wait"
        blocked, outage = await sending.send(mail()), sending.server.find_outage()
        assert isinstance(blocked, Blocked)
        assert outage is not None
        assert (outage.scope, outage.code, outage.after_s) == (gone.scope, "unreachable", COOL_OFF_S)
        assert blocked.scope == gone.scope
        assert 0 < blocked.after_s <= COOL_OFF_S
        assert "can't be reached" in blocked.detail
        clock.now += COOL_OFF_S + 1
        results = await asyncio.gather(*(sending.send(mail(n)) for n in range(5)))
        assert sorted(type(result).__name__ for result in results) == ["Again"] + ["Blocked"] * 4


async def test_a_server_that_is_back_is_used_again_at_full_width() -> None:
    clock = Clock()
    drops: list[Act | str] = [Act.DROP] * FAILURES + ["220 back"]
    async with smtp_server({"GREETING": drops}) as server, sending_to(address_of(server), clock=clock) as sending:
        for _ in range(FAILURES):
            assert isinstance(await sending.send(mail()), Again)
        assert isinstance(await sending.send(mail()), Blocked)
        assert server.sessions == FAILURES
        clock.now += COOL_OFF_S + 1
        outage = sending.server.find_outage()
        assert outage is not None
        assert outage.after_s == 0
        assert isinstance(await sending.send(mail()), Sent)
        assert sending.server.find_outage() is None
        results = await asyncio.gather(*(sending.send(mail(n)) for n in range(20)))
        assert all(isinstance(result, Sent) for result in results)


async def test_a_server_that_accepts_connections_and_sends_nothing_opens_the_breaker_too() -> None:
    async with smtp_server({"MAIL": Act.HANG}) as server, sending_to(address_of(server)) as sending:
        for tries in range(1, FAILURES + 1):
            trying = asyncio.create_task(sending.send(mail()))
            await server.wait_seen("MAIL", tries)
            pass_time(LONG_S)
            assert isinstance(await trying, Again)
        assert isinstance(await sending.send(mail()), Blocked)


async def test_a_wrong_password_is_tried_once_for_many_mails_and_not_again_for_a_while() -> None:
    clock = Clock()
    async with smtp_server(users={"imsg": "right"}) as server:
        wrong = replace(address_of(server), username="imsg", password=SecretStr("wrong"))
        async with sending_to(wrong, clock=clock) as sending:
            results: list[Result] = await asyncio.gather(*(sending.send(mail(n)) for n in range(30)))
            assert all(isinstance(result, Blocked) and result.code == "535 5.7.8" for result in results)
            assert server.commands.count("AUTH") == 1
            clock.now += BLOCK_S / 2
            later = await sending.send(mail())
            assert isinstance(later, Blocked)
            outage = sending.server.find_outage()
            assert outage is not None
            assert later.after_s == outage.after_s == BLOCK_S / 2
            assert server.commands.count("AUTH") == 1
            clock.now += BLOCK_S
            await asyncio.gather(*(sending.send(mail(n)) for n in range(30)))
            assert server.commands.count("AUTH") == 2


async def test_closing_takes_leave_of_the_server_and_waits_no_longer_than_the_bound() -> None:
    async with smtp_server({"QUIT": Act.HANG}) as server:
        async with sending_to(address_of(server), Limits(connections=4)) as sending:
            await asyncio.gather(*(sending.send(mail(n)) for n in range(4)))
            async with asyncio.timeout(60):
                await sending.server.close()
        assert server.commands.count("QUIT") == server.sessions


@asynccontextmanager
async def answering(
    replies: Mapping[str, ScriptedReply | list[ScriptedReply]], clock: Clock | None = None
) -> AsyncIterator[tuple[SmtpServer, Sending]]:
    async with (
        smtp_server(replies, extensions=["PIPELINING", "ENHANCEDSTATUSCODES"]) as server,
        sending_to(address_of(server), Limits(connections=1), clock=clock) as sending,
    ):
        yield server, sending


HOSTILE = {
    "GREETING": "554 5.7.1 go away",
    "EHLO": "550 5.7.1 go away",
    "MAIL": "553 Mail from must equal authorized user",
    "RCPT": "550 5.7.26 unauthenticated",
    "DATA": "554 5.7.1 Client host rejected",
    "DOT": "550 5.7.515 sending domain does not meet the required authentication level",
}


@pytest.mark.parametrize("command", HOSTILE)
async def test_a_server_that_refuses_us_at_any_stage_costs_no_recipient_and_is_asked_once(command: str) -> None:
    replies: dict[str, ScriptedReply | list[ScriptedReply]] = {command: HOSTILE[command]}
    if command == "EHLO":
        replies["HELO"] = HOSTILE[command]
    async with answering(replies) as (server, sending):
        results: list[Result] = await asyncio.gather(*(sending.send(mail(n)) for n in range(20)))
        assert all(isinstance(result, Blocked) for result in results)
        assert 1 <= server.commands.count(command) <= 2
        assert server.mails == []


async def test_a_blocked_sender_leaves_another_alone_and_is_let_in_again_by_a_mail_that_was_not_refused() -> None:
    clock = Clock()
    no = "553 5.7.1 Sender address rejected: not owned by user imsg"
    async with answering({"MAIL": [no, "250 2.1.0 Ok", no]}, clock) as (server, sending):
        assert isinstance(await sending.send(mail()), Blocked)
        assert isinstance(await sending.send(mail(1, "other@example.com")), Sent)
        later = await sending.send(mail())
        assert isinstance(later, Blocked)
        assert later.after_s == 300
        clock.now += 301
        results = [await sending.send(mail(n)) for n in range(2)]
        assert [type(result) for result in results] == [Blocked, Sent]
        assert server.commands.count("MAIL") == 4
        assert [type(await sending.send(mail(n))) for n in range(2)] == [Sent, Sent]


async def test_a_domain_that_refuses_our_authentication_leaves_others_alone() -> None:
    no = "550 MI:SPF 163 mx1"
    async with answering({"DOT": [no, no]}) as (server, sending):
        assert [type(await sending.send(mail(n, domain="163.com"))) for n in range(2)] == [Blocked, Blocked]
        assert isinstance(await sending.send(mail(2, domain="qq.com")), Sent)
        assert isinstance(await sending.send(mail(3, domain="163.com")), Blocked)
        assert server.commands.count("DOT") == 3


async def test_an_unspecific_no_is_the_recipients_own_where_others_get_through() -> None:
    no = "550 5.7.1 Delivery not authorized"
    async with answering({"RCPT": ["250 2.1.5 Ok", no, "250 2.1.5 Ok"]}) as (_, sending):
        assert [type(await sending.send(mail(n))) for n in range(3)] == [Sent, Refused, Sent]


async def test_one_unspecific_refusal_before_any_acceptance_blocks_no_other() -> None:
    async with answering({"RCPT": ["550 5.7.1 no"]}) as (_, sending):
        assert [type(await sending.send(mail(n))) for n in range(2)] == [Refused, Sent]


async def test_unspecific_noes_in_a_row_block_the_way_and_fail_no_further_mail() -> None:
    clock = Clock()
    async with answering({"RCPT": ["250 2.1.5 Ok", *["550 5.7.1 no"] * 4]}, clock) as (server, sending):
        assert isinstance(await sending.send(mail()), Sent)
        clock.now += ACCEPTANCE_VALID_S + 1
        results = [await sending.send(mail(n)) for n in range(6)]
        assert [type(result) for result in results] == [Refused] * 2 + [Blocked] * 4
        assert server.commands.count("RCPT") == 1 + UNSPECIFIC_REFUSALS + 1, "and one that tries whether it goes by now"


async def test_a_mail_refused_for_its_sender_while_others_of_that_sender_are_accepted_fails_alone() -> None:
    clock = Clock()
    async with answering({"RCPT": ["553 Mail from must equal authorized user"]}, clock) as (server, sending):
        assert isinstance(await sending.send(mail()), Blocked)
        assert [type(await sending.send(mail(n))) for n in range(1, 42)] == [Sent] * 41
    async with answering({"RCPT": ["250 2.1.5 Ok", "553 Mail from must equal authorized user"] * 2}, clock) as (
        server,
        sending,
    ):
        results = []
        for n in (1, 0, 2, 0):
            results.append(await sending.send(mail(n)))
            clock.now += 61
        assert [type(result) for result in results] == [Sent, Again, Sent, Refused]
        assert len(server.mails) == 2


async def test_what_is_remembered_of_scopes_is_bounded() -> None:
    async with answering({}) as (_, sending):
        server = sending.server
        for n in range(MAX_SCOPES + 10):
            about: CallScopes = {"sender": f"a@d{n}.example", "domain": f"d{n}.example to example.com"}
            server._record(about, Sent("smtp"), "a")
            server._record(about, Blocked("smtp", about["sender"], "553", "no", 300, "sender"), "b")
        assert len(server._breakers._breakers) == len(server._traffic) == MAX_SCOPES
