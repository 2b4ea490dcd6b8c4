"""Connections kept and used again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from imsg_contract.wire import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_smtp.mime import Letter, Mail, render
from imsg_smtp.opening import connect
from imsg_smtp.pool import COOL_OFF_S, FAILURES, Limits, Pool
from imsg_smtp.replies import BLOCK_S
from imsg_smtp.senders import Sender
from imsg_smtp.server import Server, Timeouts
from imsg_testing.smtp_server import Act, Held, SmtpServer, Step, smtp_server

QUICK = Timeouts(
    connect_s=5, greeting_s=5, command_s=5, data_s=5, block_s=5, dot_s=5, reset_s=5, probe_s=0.3, quit_s=0.1
)
RENDERED = render(
    Letter("会议", "下午两点半"),
    Sender("", "noreply@example.com"),
    "0192f0c4a7b17d3e8f00112233445566",
    datetime.now(UTC),
)


LIMITS = Limits()


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def mail(n: int = 0) -> Mail:
    return RENDERED.address_to(n, f"user{n}@example.com")


def address_of(server: SmtpServer) -> Server:
    return Server(server.host, server.port, "none", "example.com", None)


@asynccontextmanager
async def pool_of(
    server: Server, limits: Limits | None = None, timeouts: Timeouts = QUICK, clock: Clock | None = None
) -> AsyncIterator[Pool]:
    pool = Pool(lambda: connect(server, timeouts), server.scope, limits or Limits(), clock or Clock())
    try:
        yield pool
    finally:
        await pool.close()


async def test_one_mail_after_another_uses_one_connection() -> None:
    async with smtp_server() as server, pool_of(address_of(server)) as pool:
        for n in range(20):
            assert isinstance(await pool.send(mail(n)), Sent)
        assert server.sessions == 1
        assert "NOOP" not in server.commands


async def test_mails_at_once_never_use_more_connections_than_allowed() -> None:
    async with smtp_server() as server, pool_of(address_of(server), Limits(connections=3)) as pool:
        results = await asyncio.gather(*(pool.send(mail(n)) for n in range(60)))
        assert all(isinstance(result, Sent) for result in results)
        assert len(server.mails) == 60
        assert len({received.recipients for received in server.mails}) == 60
        assert server.sessions <= 3


async def test_a_connection_is_left_after_so_many_mails() -> None:
    async with smtp_server() as server, pool_of(address_of(server), Limits(mails=10)) as pool:
        for n in range(25):
            assert isinstance(await pool.send(mail(n)), Sent)
        assert server.sessions == 3
        assert [received.session for received in server.mails] == [1] * 10 + [2] * 10 + [3] * 5
        await server.wait_seen("QUIT", times=2)


async def test_an_old_connection_is_left() -> None:
    clock = Clock()
    async with smtp_server() as server, pool_of(address_of(server), clock=clock) as pool:
        await pool.send(mail())
        clock.now += LIMITS.age_s + 1
        assert isinstance(await pool.send(mail()), Sent)
        assert server.sessions == 2
        await server.wait_seen("QUIT")


async def test_an_idle_connection_is_asked_for_a_sign_of_life_before_it_is_used() -> None:
    clock = Clock()
    async with smtp_server() as server, pool_of(address_of(server), clock=clock) as pool:
        await pool.send(mail())
        clock.now += LIMITS.probe_after_s + 1
        assert isinstance(await pool.send(mail()), Sent)
        assert server.commands.count("NOOP") == 1
        assert server.sessions == 1


@pytest.mark.parametrize("noop", [Act.DROP, Act.HANG, "421 4.4.2 timeout", b"hm\r\n"])
async def test_an_idle_connection_without_a_sign_of_life_is_replaced(noop: Act | str | bytes) -> None:
    clock = Clock()
    async with smtp_server({"NOOP": noop}) as server, pool_of(address_of(server), clock=clock) as pool:
        await pool.send(mail())
        clock.now += LIMITS.probe_after_s + 1
        assert isinstance(await pool.send(mail()), Sent)
        assert server.sessions == 2
        assert len(server.mails) == 2


async def test_a_connection_idle_for_long_is_left_without_being_asked() -> None:
    clock = Clock()
    async with smtp_server() as server, pool_of(address_of(server), clock=clock) as pool:
        await pool.send(mail())
        clock.now += LIMITS.idle_s + 1
        assert isinstance(await pool.send(mail()), Sent)
        assert server.sessions == 2
        assert "NOOP" not in server.commands


async def test_connections_nobody_needs_are_left_by_themselves() -> None:
    async with smtp_server() as server:
        loop = asyncio.get_running_loop()
        pool = Pool(lambda: connect(address_of(server), QUICK), "scope", Limits(connections=4, idle_s=0.05), loop.time)
        await asyncio.gather(*(pool.send(mail(n)) for n in range(4)))
        await server.wait_seen("QUIT", times=server.sessions)
        await pool.close()


async def test_a_farewell_while_idle_costs_a_new_connection_and_no_mail() -> None:
    async with smtp_server() as server, pool_of(address_of(server)) as pool:
        await pool.send(mail())
        await server.farewell()
        assert isinstance(await pool.send(mail()), Sent)
        assert server.sessions == 2
        assert len(server.mails) == 2


@pytest.mark.parametrize("step", [Act.DROP, Act.RESET, "421 4.7.0 enough", b"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n"])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_a_kept_connection_that_fails_before_the_dot_is_replaced_at_once(
    command: str, step: Act | str | bytes
) -> None:
    usual = "354 go" if command == "DATA" else "250 2.0.0 Ok"
    async with smtp_server({command: [usual, step]}) as server, pool_of(address_of(server)) as pool:
        assert isinstance(await pool.send(mail(0)), Sent)
        assert isinstance(await pool.send(mail(1)), Sent)
        assert [received.recipients[0] for received in server.mails] == ["user0@example.com", "user1@example.com"]
        assert server.sessions == 2


async def test_a_fresh_connection_that_fails_before_the_dot_is_not_repeated_at_once() -> None:
    async with smtp_server({"MAIL": Act.DROP}) as server, pool_of(address_of(server)) as pool:
        assert isinstance(await pool.send(mail()), Again)
        assert server.sessions == 1


@pytest.mark.parametrize("act", [Act.DROP, Act.RESET])
async def test_a_kept_connection_that_fails_after_the_dot_is_never_repeated_here(act: Act) -> None:
    async with smtp_server({"DOT": ["250 2.0.0 Ok", act]}) as server, pool_of(address_of(server)) as pool:
        assert isinstance(await pool.send(mail(0)), Sent)
        assert isinstance(await pool.send(mail(1)), Unknown)
        assert len(server.mails) == 2
        assert isinstance(await pool.send(mail(2)), Sent)
        assert server.sessions == 2


async def test_a_cancelled_mail_costs_its_connection_and_shifts_no_reply() -> None:
    replies: dict[str, list[Step]] = {"RCPT": [Held("250 2.1.5 late"), "550 5.1.1 no such user", "250 2.1.5 Ok"]}
    async with smtp_server(replies) as server, pool_of(address_of(server), Limits(connections=1)) as pool:
        sending = asyncio.create_task(pool.send(mail(0)))
        await server.wait_seen("RCPT")
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        server.release()
        assert isinstance(await pool.send(mail(1)), Refused)
        assert isinstance(await pool.send(mail(2)), Sent)
        assert [received.recipients[0] for received in server.mails] == ["user2@example.com"]


async def test_a_refused_recipient_costs_no_connection() -> None:
    async with smtp_server({"RCPT": ["550 5.1.1 no"] * 5}) as server, pool_of(address_of(server)) as pool:
        results = [await pool.send(mail(n)) for n in range(6)]
        assert [type(result) for result in results] == [Refused] * 5 + [Sent]
        assert server.sessions == 1


async def test_a_server_that_is_away_is_left_alone_after_failures_in_a_row_and_tried_once_later() -> None:
    clock = Clock()
    async with smtp_server() as server:
        gone = address_of(server)
    async with pool_of(gone, clock=clock) as pool:
        for _ in range(FAILURES):
            assert isinstance(await pool.send(mail()), Again)
        blocked, outage = await pool.send(mail()), pool.find_outage()
        assert isinstance(blocked, Blocked)
        assert outage is not None
        assert (outage.scope, outage.code, outage.after_s) == (gone.scope, "unreachable", COOL_OFF_S)
        assert blocked.scope == gone.scope
        assert 0 < blocked.after_s <= COOL_OFF_S
        assert "can't be reached" in blocked.detail
        clock.now += COOL_OFF_S + 1
        results = await asyncio.gather(*(pool.send(mail(n)) for n in range(5)))
        assert sorted(type(result).__name__ for result in results) == ["Again"] + ["Blocked"] * 4


async def test_a_server_that_is_back_is_used_again_at_full_width() -> None:
    clock = Clock()
    drops: list[Act | str] = [Act.DROP] * FAILURES + ["220 back"]
    async with smtp_server({"GREETING": drops}) as server, pool_of(address_of(server), clock=clock) as pool:
        for _ in range(FAILURES):
            assert isinstance(await pool.send(mail()), Again)
        assert isinstance(await pool.send(mail()), Blocked)
        assert server.sessions == FAILURES
        clock.now += COOL_OFF_S + 1
        outage = pool.find_outage()
        assert outage is not None
        assert outage.after_s == 0
        assert isinstance(await pool.send(mail()), Sent)
        assert pool.find_outage() is None
        results = await asyncio.gather(*(pool.send(mail(n)) for n in range(20)))
        assert all(isinstance(result, Sent) for result in results)


async def test_a_server_that_takes_connections_and_then_says_nothing_is_left_alone_too() -> None:
    impatient = replace(QUICK, command_s=0.3)
    async with smtp_server({"MAIL": Act.HANG}) as server, pool_of(address_of(server), timeouts=impatient) as pool:
        for _ in range(FAILURES):
            assert isinstance(await pool.send(mail()), Again)
        assert isinstance(await pool.send(mail()), Blocked)


async def test_refusals_are_no_failures_of_the_server() -> None:
    async with smtp_server({"RCPT": "550 5.1.1 no"}) as server, pool_of(address_of(server)) as pool:
        for _ in range(3 * FAILURES):
            assert isinstance(await pool.send(mail()), Refused)
        assert pool.find_outage() is None


async def test_a_wrong_password_is_tried_once_for_many_mails_and_not_again_for_a_while() -> None:
    clock = Clock()
    async with smtp_server(users={"imsg": "right"}) as server:
        wrong = replace(address_of(server), username="imsg", password=SecretStr("wrong"))
        async with pool_of(wrong, clock=clock) as pool:
            results: list[Result] = await asyncio.gather(*(pool.send(mail(n)) for n in range(30)))
            assert all(isinstance(result, Blocked) and result.code == "535 5.7.8" for result in results)
            assert server.commands.count("AUTH") == 1
            clock.now += BLOCK_S / 2
            later = await pool.send(mail())
            assert isinstance(later, Blocked)
            outage = pool.find_outage()
            assert outage is not None
            assert later.after_s == outage.after_s == BLOCK_S / 2
            assert server.commands.count("AUTH") == 1
            clock.now += BLOCK_S
            await asyncio.gather(*(pool.send(mail(n)) for n in range(30)))
            assert server.commands.count("AUTH") == 2


async def test_too_many_log_ins_block_the_server_and_the_kept_connections_go_with_it() -> None:
    async with smtp_server({"AUTH": "454 4.7.0 Too many login attempts"}, users={"imsg": "right"}) as server:
        wanted = replace(address_of(server), username="imsg", password=SecretStr("right"))
        async with pool_of(wanted) as pool:
            result = await pool.send(mail())
            assert isinstance(result, Blocked)
            assert result.code == "454 4.7.0"


async def test_closing_takes_leave_of_the_server_and_waits_no_longer_than_the_bound() -> None:
    async with smtp_server({"QUIT": Act.HANG}) as server:
        pool = Pool(lambda: connect(address_of(server), QUICK), "scope", Limits(connections=4), Clock())
        await asyncio.gather(*(pool.send(mail(n)) for n in range(4)))
        async with asyncio.timeout(QUICK.quit_s * 10):
            await pool.close()
        assert server.commands.count("QUIT") == server.sessions
