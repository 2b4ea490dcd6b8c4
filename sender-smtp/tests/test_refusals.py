"""Whom a no concerns, at every stage."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_contract.wire import Again, Blocked, Refused, Result, Sent
from imsg_limits.breakers import MAX_SCOPES, TRY_S
from imsg_smtp.mime import Letter, Mail, render
from imsg_smtp.opening import connect
from imsg_smtp.pool import Limits, Pool
from imsg_smtp.refusals import LINES, About, Envelope, Stage, Throttled, Unspecific, judge
from imsg_smtp.relay import PROOF_S, UNSPECIFIC_NOES, Relay, Scopes
from imsg_smtp.replies import Reply
from imsg_smtp.senders import Sender
from imsg_smtp.server import Server, Timeouts
from imsg_testing.smtp_server import SmtpServer, Step, smtp_server

SERVER = "mail.example.com:587"
ENVELOPE = Envelope(SERVER, "noreply@example.com", "zhang@qq.com")
SENDER, DOMAIN = f"{SERVER} from noreply@example.com", f"{SERVER} from example.com to qq.com"
QUICK = Timeouts(connect_s=5, greeting_s=5, command_s=5, data_s=5, block_s=5, dot_s=5, reset_s=5, probe_s=5, quit_s=0.1)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def judge_line(line: str, stage: Stage) -> Again | Refused | Blocked:
    return judge(Reply.of(int(line[:3]), line[4:]), ENVELOPE, stage)


@pytest.mark.parametrize(
    ("line", "stage", "scope"),
    [
        ("553 Mail from must equal authorized user", Stage.MAIL, SENDER),
        ("553 Mail from must equal authorized user", Stage.RCPT, SENDER),
        ("501 mail from address must be same as authorization user", Stage.MAIL, SENDER),
        ("501 mail from address must be same as authorization user", Stage.DATA, SENDER),
        ("550 5.7.1 Access denied", Stage.MAIL, SENDER),
        ("550 no", Stage.MAIL, SENDER),
        ("440 mail from account doesn't conform with authentication", Stage.MAIL, SENDER),
        ("553 5.7.1 <noreply@example.com>: Sender address rejected: not owned by user imsg", Stage.RCPT, SENDER),
        ("550 5.1.8 <noreply@example.com>: Sender address rejected: Domain not found", Stage.RCPT, SENDER),
        ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", Stage.DATA, SENDER),
        ("554 DT:SUM 163 smtp1,x", Stage.DATA, SENDER),
        ("550 5.4.5 Daily user sending limit exceeded", Stage.DATA, SENDER),
        ("550 MI:SPF 163 mx1", Stage.DATA, DOMAIN),
        ("550 MI:DMA 163 mx1", Stage.DATA, DOMAIN),
        ("550 DMARC check failed", Stage.DATA, DOMAIN),
        ("550 5.7.26 Unauthenticated email from example.com is not accepted", Stage.DATA, DOMAIN),
        ("550 5.7.515 Access denied, sending domain does not meet the required level", Stage.DATA, DOMAIN),
        (
            "550 5.7.23 <zhang@qq.com>: Recipient address rejected: Message rejected due to: SPF fail",
            Stage.RCPT,
            DOMAIN,
        ),
        ("550 5.7.25 The IP address does not have a PTR record", Stage.RCPT, DOMAIN),
        ("554 5.7.1 <zhang@qq.com>: Relay access denied", Stage.RCPT, DOMAIN),
        ("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", Stage.RCPT, DOMAIN),
        ("550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", Stage.RCPT, SERVER),
        ("554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", Stage.RCPT, SERVER),
        ("530 5.7.0 Authentication required", Stage.MAIL, SERVER),
        ("530 5.7.57 Client not authenticated to send mail", Stage.RCPT, SERVER),
        ("535 5.7.8 Error: authentication failed", Stage.DATA, SERVER),
    ],
)
def test_a_no_to_us_blocks_its_scope_and_fails_nobody(line: str, stage: Stage, scope: str) -> None:
    result = judge_line(line, stage)
    assert isinstance(result, Blocked)
    assert result.scope == scope
    assert result.detail == line[4:]
    assert result.after_s >= 60


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("550 5.1.1 <zhang@qq.com>: Recipient address rejected: User unknown", Stage.RCPT),
        ("550 5.1.1 <dmarc@qq.com>: no such user", Stage.RCPT),
        ("550 Mailbox not found", Stage.RCPT),
        ("550 Invalid User: zhang@qq.com", Stage.RCPT),
        ("550 Mail is rejected by recipients", Stage.DATA),
        ("550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized", Stage.RCPT),
        ("552 5.2.2 mailbox full", Stage.RCPT),
        ("553 5.6.7 SMTPUTF8 is wanted", Stage.MAIL),
        ("552 5.3.4 Message size exceeds fixed limit", Stage.MAIL),
        ("552 message exceeds the limit", Stage.MAIL),
        ("552 5.3.4 too big", Stage.DATA),
        ("554 5.7.1 Message rejected as spam by content filter", Stage.DATA),
        ("550 DT:SPM 163 smtp1", Stage.DATA),
        ("550 Mail content denied", Stage.DATA),
        ("552 5.7.0 This message was blocked because its content presents a potential security issue", Stage.DATA),
        ("554 no", Stage.DATA),
    ],
)
def test_a_no_to_the_mailbox_or_the_content_fails_that_message(line: str, stage: Stage) -> None:
    assert judge_line(line, stage) == Refused("smtp", Reply.of(int(line[:3]), line[4:]).label, line[4:])


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize(
    "line",
    [
        "550 Domain frequency limited",
        "550 Sender frequency limited",
        "550 Connection frequency limited",
        "550 Ip frequency limited",
        "550 Mailbox unavailable or access denied",
        "550 MI:STC 163 mx1",
        "550 RP:TRC 163 mx1",
        "554 HL:ITC 163 mx1",
        "421 HL:ICC 163 mx1",
        "421 HL:IFC 163 mx1",
        "421 HL:REP 163 mx1",
        "450 MI:DMC 163 mx1",
        "450 RP:DRC 163 mx1",
        "451 MI:SFQ 163 mx1",
        "451 RP:QRC 163 mx1",
        "451 DT:SPM 163 mx1",
        "421 4.7.28 Gmail has detected an unusual rate of mail",
        "550 5.7.28 There is an unusual rate of unsolicited mail",
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly",
    ],
)
def test_throttling_is_tried_again_whatever_its_first_digit(line: str, stage: Stage) -> None:
    result = judge_line(line, stage)
    assert isinstance(result, Throttled)
    assert result.after_s >= 60


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize("line", ["550 5.7.1 Delivery not authorized", "554 5.7.0 no", "550 5.7.999 what?"])
def test_a_no_about_permission_that_says_no_more_is_left_to_what_other_mail_tells(line: str, stage: Stage) -> None:
    result = judge_line(line, stage)
    assert isinstance(result, Unspecific)
    assert result.scope == DOMAIN


def test_every_line_of_the_table_has_a_source_and_is_met_by_no_line_before_it_alone() -> None:
    assert all(line.source for line in LINES)
    assert {line.about for line in LINES} == set(About)


@pytest.mark.parametrize(
    ("line", "stage", "kind"),
    [
        ("571 Delivery not authorized", Stage.RCPT, Refused),
        ("571 Delivery not authorized", Stage.MAIL, Blocked),
        ("498 come back", Stage.DATA, Again),
    ],
)
def test_a_code_that_nobody_listed_is_judged_by_its_first_digit_and_shown_so(
    line: str, stage: Stage, kind: type[Result]
) -> None:
    said = judge_line(line, stage)
    assert isinstance(said, kind)
    assert line[4:] in said.detail
    assert "an unlisted code" in said.detail


@pytest.mark.parametrize("line", ["550 no", "571 5.7.1 no", "554 5.1.1 unknown", "451 later"])
def test_a_listed_code_is_shown_as_the_server_words_it(line: str) -> None:
    assert judge_line(line, Stage.RCPT).detail == line[4:]


@given(st.integers(400, 599), st.text(), st.sampled_from(Stage))
def test_any_no_has_a_result(code: int, text: str, stage: Stage) -> None:
    assert isinstance(judge(Reply.of(code, text), ENVELOPE, stage), Again | Refused | Blocked)


def mail(n: int = 0, sender: str = "noreply@example.com", domain: str = "qq.com") -> Mail:
    rendered = render(Letter("会议", "x"), Sender("", sender), "0192f0c4a7b17d3e8f00112233445566", datetime.now(UTC))
    return rendered.address_to(n, f"user{n}@{domain}")


@asynccontextmanager
async def relay_to(
    replies: Mapping[str, Step | list[Step]], clock: Clock | None = None
) -> AsyncIterator[tuple[SmtpServer, Relay]]:
    ticking = clock or Clock()
    async with smtp_server(replies, extensions=["PIPELINING", "ENHANCEDSTATUSCODES"]) as server:
        address = Server(server.host, server.port, "none", "example.com", None)
        pool = Pool(lambda: connect(address, QUICK), address.scope, Limits(connections=1), ticking)
        relay = Relay(address.scope, pool, ticking)
        try:
            yield server, relay
        finally:
            await relay.close()


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
    replies: dict[str, Step | list[Step]] = {command: HOSTILE[command]}
    if command == "EHLO":
        replies["HELO"] = HOSTILE[command]
    async with relay_to(replies) as (server, relay):
        results: list[Result] = await asyncio.gather(*(relay.send(mail(n)) for n in range(20)))
        assert all(isinstance(result, Blocked) for result in results)
        assert 1 <= server.commands.count(command) <= 2
        assert server.mails == []


async def test_a_blocked_sender_leaves_another_alone_and_is_let_in_again_by_a_mail_that_was_not_refused() -> None:
    clock = Clock()
    no = "553 5.7.1 Sender address rejected: not owned by user imsg"
    async with relay_to({"MAIL": [no, "250 2.1.0 Ok", no]}, clock) as (server, relay):
        assert isinstance(await relay.send(mail()), Blocked)
        assert isinstance(await relay.send(mail(1, "other@example.com")), Sent)
        later = await relay.send(mail())
        assert isinstance(later, Blocked)
        assert later.after_s == 300
        clock.now += 301
        results = [await relay.send(mail(n)) for n in range(2)]
        assert [type(result) for result in results] == [Blocked, Sent]
        assert server.commands.count("MAIL") == 4
        assert [type(await relay.send(mail(n))) for n in range(2)] == [Sent, Sent]


async def test_a_domain_that_refuses_our_authentication_leaves_others_alone() -> None:
    no = "550 MI:SPF 163 mx1"
    async with relay_to({"DOT": [no, no]}) as (server, relay):
        assert [type(await relay.send(mail(n, domain="163.com"))) for n in range(2)] == [Blocked, Blocked]
        assert isinstance(await relay.send(mail(2, domain="qq.com")), Sent)
        assert isinstance(await relay.send(mail(3, domain="163.com")), Blocked)
        assert server.commands.count("DOT") == 3


async def test_an_unspecific_no_is_the_recipients_own_where_others_get_through() -> None:
    no = "550 5.7.1 Delivery not authorized"
    async with relay_to({"RCPT": ["250 2.1.5 Ok", no, "250 2.1.5 Ok"]}) as (_, relay):
        assert [type(await relay.send(mail(n))) for n in range(3)] == [Sent, Refused, Sent]


async def test_unspecific_noes_in_a_row_block_the_way_and_fail_no_further_mail() -> None:
    clock = Clock()
    async with relay_to({"RCPT": ["250 2.1.5 Ok", *["550 5.7.1 no"] * 4]}, clock) as (server, relay):
        assert isinstance(await relay.send(mail()), Sent)
        clock.now += PROOF_S + 1
        results = [await relay.send(mail(n)) for n in range(6)]
        assert [type(result) for result in results] == [Refused] * 2 + [Blocked] * 4
        assert server.commands.count("RCPT") == 1 + UNSPECIFIC_NOES + 1, "and one that tries whether it goes by now"


async def test_one_unspecific_no_is_final_and_stops_nobody_else() -> None:
    async with relay_to({"RCPT": ["550 5.7.1 no"]}) as (_, relay):
        assert [type(await relay.send(mail(n))) for n in range(2)] == [Refused, Sent]


async def test_a_mail_refused_for_its_sender_while_others_of_that_sender_are_accepted_fails_alone() -> None:
    clock = Clock()
    async with relay_to({"RCPT": ["553 Mail from must equal authorized user"]}, clock) as (server, relay):
        assert isinstance(await relay.send(mail()), Blocked)
        assert [type(await relay.send(mail(n))) for n in range(1, 42)] == [Sent] * 41
    async with relay_to({"RCPT": ["250 2.1.5 Ok", "553 Mail from must equal authorized user"] * 2}, clock) as (
        server,
        relay,
    ):
        results = []
        for n in (1, 0, 2, 0):
            results.append(await relay.send(mail(n)))
            clock.now += 61
        assert [type(result) for result in results] == [Sent, Again, Sent, Refused]
        assert len(server.mails) == 2


def test_what_is_remembered_of_scopes_is_bounded() -> None:
    clock = Clock()
    scopes = Scopes(clock)
    for n in range(MAX_SCOPES + 10):
        envelope = Envelope(SERVER, f"a@d{n}.example", "b@example.com")
        scopes.judge(envelope, Sent("smtp"))
        scopes.judge(envelope, Blocked("smtp", envelope.sender_scope, "553", "no", 300, "sender"))
    assert len(scopes._breakers._troubles) == len(scopes._traffic) == MAX_SCOPES


def test_the_one_that_tries_has_the_way_to_itself_for_a_while() -> None:
    clock = Clock()
    scopes = Scopes(clock)
    scopes.judge(ENVELOPE, Blocked("smtp", DOMAIN, "550", "no", 300))
    clock.now += 301
    assert scopes.find_block(ENVELOPE) is None
    assert scopes.find_block(ENVELOPE) is not None
    clock.now += TRY_S + 1
    assert scopes.find_block(ENVELOPE) is None
