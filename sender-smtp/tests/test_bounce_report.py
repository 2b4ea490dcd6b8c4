"""Bounces are classified whatever server wrote them, and no input takes long to parse."""

import time
from base64 import encodebytes
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from imsg_smtp.bounces.bounce_token import derive_keys, make_token, sign_name
from imsg_smtp.bounces.report import Kind, may_be_bounce, read_report
from imsg_testing import bounces

KEY = derive_keys([SecretStr("a" * 32)])[0]
TOKEN = make_token(KEY, "0192f0c4a7b17d3e8f00112233445566", 7)
TO = f"{TOKEN}@bounce.example.com"
REPORT = bounces.dsn(TO)

NO_SUCH_USER = (
    "5.1.1 The email account that you tried to reach does not exist."
    " https://support.google.com/mail/?p=NoSuchUser - gsmtp"
)
FULL = (
    "5.2.2 The recipient's inbox is out of storage space and inactive. Please direct the recipient to"
    " https://support.google.com/mail/?p=OverQuotaPerm - gsmtp"
)


@pytest.mark.parametrize(
    ("write", "code", "detail", "is_hard"),
    [
        (
            bounces.dsn,
            "550 5.1.1",
            "5.1.1 <zhang@corp.cn>: Recipient address rejected: User unknown in virtual mailbox table",
            True,
        ),
        (bounces.exim, "550 5.1.1", NO_SUCH_USER, True),
        (
            bounces.exchange,
            "550 5.1.10",
            "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient zhang@corp.cn not found by SMTP address lookup",
            True,
        ),
        (bounces.gmail, "552 5.2.2", FULL, False),
        (bounces.netease, "550", "User not found: zhang@corp.cn", True),
        (bounces.qq, "550 5.1.1", "5.1.1 Mailbox unavailable or access denied", False),
        (bounces.qmail, "550 5.1.1", "5.1.1 unknown user zhang@corp.cn", True),
    ],
)
def test_a_failure_is_read_with_the_servers_words(
    write: Callable[[str], bytes],
    code: str,
    detail: str,
    is_hard: bool,  # noqa: FBT001  a parameter
) -> None:
    report = read_report(write(TO))

    assert (report.kind, report.code, report.detail, report.is_hard) == (Kind.FAILED, code, detail, is_hard)
    assert report.tokens == (TOKEN,)
    assert report.at == datetime(2026, 11, 25, 2, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "diagnostic", "code", "is_hard"),
    [
        ("5.1.1", "", "5.1.1", True),
        ("5.2.1", "smtp; 550 5.2.1 This mailbox is disabled", "550 5.2.1", True),
        ("5.1.1", "smtp; 550 user unknown", "550 5.1.1", True),
        ("5.1.1", "x-unix; user unknown", "5.1.1", True),
        ("5.1.0", "smtp;550 no such recipient", "550 5.1.0", True),
        ("5.0.0", "smtp; 550 user unknown", "550", True),
        ("5.0.0", "SMTP; SMTP error, RCPT TO: 550 User not found: zhang@163.com", "550", True),
        ("5.0.0", "SMTP; SMTP error, RCPT TO: 550 5.1.1 <zhang@corp.cn>: User unknown", "550 5.1.1", True),
        ("5.0.0", "SMTP; SMTP error, MAIL FROM: 550 Invalid User: noreply@example.com", "550", False),
        ("5.0.0", "SMTP; rejected by system", "5.0.0", False),
        ("5.0.0", "smtp; host mx3.qq.com[203.0.113.9] said: 550 Mailbox not found. http://a.qq.com/?no=1", "550", True),
        ("5.1.1", "smtp; 550 Mail content denied. http://service.mail.qq.com/?no=1000726", "550 5.1.1", False),
        ("5.1.1", "smtp; 550 User has exceeded quota", "550 5.1.1", False),
        ("5.1.1", "smtp; 550 User suspended", "550 5.1.1", False),
        ("5.5.0", "smtp; 550 sorry, no mailbox here by that name (#5.1.1)", "550 5.1.1", True),
        ("5.1.7", "smtp; 553 5.1.7 bad sender", "553 5.1.7", False),
        ("5.1.8", "smtp; 550 5.1.8 sender's domain not found", "550 5.1.8", False),
        ("5.2.2", "smtp; 552 5.2.2 mailbox full", "552 5.2.2", False),
        ("5.7.1", "smtp; 554 5.7.1 blocked by policy", "554 5.7.1", False),
        ("5.1.1", "smtp; 550 5.1.1 Domain frequency limited", "550 5.1.1", False),
        ("5.1.1", "smtp; 550 RP:TRC 163 smtp9", "550 5.1.1", False),
        ("5.1.1", "smtp; 554 HL:ITC 163 smtp9", "554 5.1.1", False),
        ("4.4.7", "smtp; delivery time expired", "4.4.7", False),
        ("nonsense", "nonsense", "", False),
    ],
)
def test_only_an_address_reported_as_unknown_is_a_hard_bounce(
    status: str,
    diagnostic: str,
    code: str,
    is_hard: bool,  # noqa: FBT001  a parameter
) -> None:
    report = read_report(bounces.dsn(TO, status=status, diagnostic=diagnostic))

    assert (report.kind, report.code, report.is_hard) == (Kind.FAILED, code, is_hard)


@pytest.mark.parametrize(
    ("page", "code", "is_hard"),
    [
        ("<p>退信原因：</p><p>收件人邮件地址（zhang@qq.com）不存在，邮件无法送达。</p>", "5.0.0", True),
        ("<td>退信原因</td><td>该用户未开通QQ邮箱</td>", "5.0.0", True),
        ("<td>退信原因</td><td>收件人空间不足</td>", "5.0.0", False),
        ("<td>host mx3.qq.com[203.0.113.9]<br>said:&nbsp;550&nbsp;Mailbox&nbsp;not&nbsp;found.</td>", "550", True),
        ("<td>said: 550 Mail content denied. http://service.mail.qq.com/?no=1</td>", "550", False),
    ],
)
def test_a_page_for_people_is_read_by_its_words(
    page: str,
    code: str,
    is_hard: bool,  # noqa: FBT001  a parameter
) -> None:
    report = read_report(bounces.qq(TO, page=page))

    assert (report.kind, report.code, report.is_hard) == (Kind.FAILED, code, is_hard)


@pytest.mark.parametrize(
    ("said", "code", "is_hard"),
    [
        ("Remote host said: 550 sorry, no mailbox here by that name (#5.1.1)", "550 5.1.1", True),
        ("Sorry, no mailbox here by that name. (#5.1.1)", "5.1.1", True),
        ("Remote host said: 550 #5.1.0 Address rejected.", "550 5.1.0", True),
        ("Remote host said: 552 sorry, mailbox is over quota (#5.2.2)", "552 5.2.2", False),
        ("Remote host said: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", "553 5.7.1", False),
    ],
)
def test_qmails_status_in_brackets_is_one(
    said: str,
    code: str,
    is_hard: bool,  # noqa: FBT001  a parameter
) -> None:
    report = read_report(bounces.qmail(TO, said))

    assert (report.kind, report.code, report.is_hard) == (Kind.FAILED, code, is_hard)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("delivered", Kind.DELIVERED),
        ("Delivered (to mailbox)", Kind.DELIVERED),
        ("relayed", Kind.RELAYED),
        ("expanded", Kind.RELAYED),
        ("delayed", Kind.DELAYED),
        ("FAILED", Kind.FAILED),
    ],
)
def test_the_action_decides_the_status_of_a_message(action: str, kind: Kind) -> None:
    report = read_report(bounces.dsn(TO, action=action, status="2.0.0", diagnostic="smtp; 250 2.0.0 Ok: queued"))

    assert (report.kind, report.is_hard) == (kind, False)


def test_words_in_gb18030_are_read() -> None:
    raw = bounces.dsn(TO, diagnostic="smtp; 550 5.1.1 @WORDS@").replace(b"@WORDS@", "用户不存在".encode("gb18030"))

    assert read_report(raw).detail == "5.1.1 用户不存在"


def test_a_report_without_lines_of_its_own_is_one_in_base64() -> None:
    raw = bounces.dsn(TO)
    head, _, rest = raw.partition(b"Content-Type: message/delivery-status\r\n\r\n")
    status, boundary, tail = rest.partition(b"\r\n--4Bt")
    encoded = b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert read_report(head + encoded + encodebytes(status) + boundary + tail).code == "550 5.1.1"


def test_the_token_is_found_wherever_the_way_here_has_put_it() -> None:
    other = "someone@example.com"
    for raw, rcpt in (
        (bounces.dsn(other), [TO]),
        (bounces.dsn(other), [TO.upper()]),
        (bounces.dsn(other, headers=f"X-Original-To: {TO}\n"), []),
        (bounces.dsn(other, headers=f"Delivered-To: <{TO}>\n"), []),
        (bounces.dsn(other, envid=TOKEN.removeprefix("b+")), []),
        (bounces.dsn(other, returned=f"Return-Path: <{TO}>"), []),
        (bounces.complaint("fbl@example.com", TO), ["fbl@example.com"]),
    ):
        assert [token.lower() for token in read_report(raw, rcpt=rcpt).tokens] == [TOKEN]
    assert read_report(bounces.dsn(other)).tokens == ()


OWN = "noreply@example.com"
"""The account that sends, where the server fixes the envelope sender."""

NAME = sign_name(KEY, "0192f0c4a7b17d3e8f00112233445566", 7)
OF_ANOTHER = sign_name(KEY, "0192f0c4a7b17d3e8f00112233445566", 8)
BY_HEADER = f"X-IMSG-Id: {NAME}\nMessage-ID: <tencent_1234567890@qq.com>\nSubject: hello"
BY_MESSAGE_ID = f"Subject: hello\nMessage-Id:<{NAME}@example.com>\nReferences: <{OF_ANOTHER}@example.com>"

WRITERS = [
    bounces.qq_with_the_mail,
    bounces.exmail,
    bounces.netease,
    bounces.direct_mail,
    bounces.gmail,
    bounces.exchange,
    bounces.exim,
    bounces.sendmail,
    lambda to, head: bounces.qmail(to, head=head),
    lambda to, head: bounces.dsn(to, returned=head),
]
"""Postfix last."""


@pytest.mark.parametrize("head", [BY_HEADER, BY_MESSAGE_ID])
@pytest.mark.parametrize("write", WRITERS)
def test_a_bounce_to_the_senders_own_mailbox_names_the_mail_that_it_returns(
    write: Callable[[str, str], bytes], head: str
) -> None:
    raw = write(OWN, head)
    report = read_report(raw)

    assert (report.kind, report.tokens, report.names) == (Kind.FAILED, (), (NAME,))
    assert may_be_bounce(raw.partition(b"\r\n\r\n")[0].partition(b"\n\n")[0])


@pytest.mark.parametrize("write", WRITERS)
def test_a_persons_answer_to_us_that_comes_back_names_nothing(write: Callable[[str, str], bytes]) -> None:
    answer = f"Message-ID: <CAF1@mail.example.com>\nIn-Reply-To: <{NAME}@example.com>\nReferences: <{NAME}@example.com>"

    assert read_report(write(OWN, answer)).names == ()


def test_of_a_report_without_a_reason_the_page_beside_it_gives_it() -> None:
    raw = bounces.dsn(OWN, status="5.0.0", diagnostic="").replace(
        b"This is the mail system at host mx.corp.cn.", "收件人邮件地址（zhang@corp.cn）不存在。".encode()
    )
    report = read_report(raw)

    assert (report.kind, report.code, report.is_hard) == (Kind.FAILED, "5.0.0", True)


@pytest.mark.parametrize(
    "header",
    [
        "From: =?utf-8?b?TWFpbCBEZWxpdmVyeSBTeXN0ZW0=?= <system@corp.cn>",
        "From: system@corp.cn\nX-Failed-Recipients: zhang@corp.cn",
        "From: system@corp.cn\nAuto-Submitted: auto-generated",
        "From: system@corp.cn\nReturn-Path: <>",
    ],
)
def test_a_mail_server_is_known_by_its_name_or_its_headers(header: str) -> None:
    raw = bounces.exmail(OWN, BY_HEADER).replace(b"From: postmaster@exmail.weixin.qq.com", header.encode())

    assert read_report(raw).names == (NAME,)


def test_a_bounce_that_returns_nothing_names_the_mail_in_its_own_headers() -> None:
    for header in (
        f"X-CM-Original-Message-ID: <{NAME}@example.com>\n",
        f"In-Reply-To: <{NAME}@example.com>\n",
        f"References: <{OF_ANOTHER}@example.com>\n <{NAME}@example.com>\n",
    ):
        assert read_report(bounces.dsn(OWN, headers=header)).names == (NAME,)
    raw = bounces.dsn(OWN).replace(
        b"X-Postfix-Queue-ID:", f"X-Original-Message-ID: <{NAME}@example.com>\r\nX-Q:".encode()
    )
    assert read_report(raw).names == (NAME,)


@pytest.mark.parametrize(
    "raw",
    [
        bounces.vacation(OWN, f"In-Reply-To: <{NAME}@example.com>", "Auto-Submitted: auto-replied"),
        bounces.vacation(OWN, f"In-Reply-To: <{NAME}@example.com>", "Return-Path: <>", "Auto-Submitted: auto-replied"),
        bounces.vacation(OWN, f"References: <{NAME}@example.com>", subject="Re: hello"),
        bounces.vacation(OWN, f"References: <{NAME}@example.com>", subject="转发: 退信"),
        bounces.vacation(OWN, f"In-Reply-To: <{NAME}@a.cn>", "Auto-Submitted: auto-replied", subject="Re: 退信通知"),
        bounces.vacation(OWN, f"X-IMSG-Id: {NAME}", "Auto-Submitted: auto-generated", subject="本月退信"),
        bounces.qmail(OWN, head=BY_HEADER)
        .replace(b"From: MAILER-DAEMON@", b"From: li@")
        .replace(b"Path: <>", b"Path: <li@a>"),
    ],
)
def test_what_people_and_their_machines_write_names_nothing(raw: bytes) -> None:
    assert read_report(raw).names == ()


@pytest.mark.parametrize(
    ("head", "is_worth"),
    [
        (b"From: li@corp.cn\r\nSubject: hello\r\n\r\n", False),
        (f"From: li@corp.cn\r\nIn-Reply-To: <{NAME}@example.com>\r\nSubject: Re: hello\r\n\r\n".encode(), False),
        (f"From: li@corp.cn\r\nTo: {TO}\r\n\r\n".encode(), True),
        (b"From: PostMaster@qq.com\r\n\r\n", True),
        (b"From: system@corp.cn\r\nSubject: =?gb18030?B?z7XNs83L0MU=?=\r\n\r\n", True),
        (b"From: x@corp.cn\r\nContent-Type: Multipart/report; boundary=a\r\n\r\n", True),
        (b"", False),
    ],
)
def test_by_its_headers_a_mail_is_worth_reading(
    head: bytes,
    is_worth: bool,  # noqa: FBT001  a parameter
) -> None:
    assert may_be_bounce(head) == is_worth


def test_of_an_attached_mail_that_is_cut_off_the_headers_are_read() -> None:
    raw = bounces.qq_with_the_mail(OWN, BY_HEADER + "\nX-Long: " + "x" * 600_000)

    assert read_report(raw).names == (NAME,)


@pytest.mark.parametrize(
    ("kind", "expected"), [("abuse", Kind.COMPLAINT), ("Abuse", Kind.COMPLAINT), ("not-spam", Kind.UNKNOWN)]
)
def test_abuse_alone_is_a_complaint(kind: str, expected: Kind) -> None:
    assert read_report(bounces.complaint(TO, TO, kind)).kind is expected


def test_a_complaint_names_its_reporter_and_no_person() -> None:
    detail = "Feedback-Type: abuse; From: hotmail.com; User-Agent: SomeGenerator/1.0"
    assert read_report(bounces.complaint(TO, TO)).detail == detail
    for hostile in (b"(" * 100_000, b"@" * 100_000, b"<staff@" + b"a" * 100_000 + b">", b"nobody", b'"a@b" <c@d e>'):
        raw = bounces.complaint(TO, TO).replace(b"<staff@hotmail.com>", hostile)
        assert read_report(raw).detail == "Feedback-Type: abuse; User-Agent: SomeGenerator/1.0"


@pytest.mark.parametrize(
    ("headers", "subject"),
    [
        (["Auto-Submitted: auto-replied"], "Re: hello"),
        (["X-Autoreply: yes"], "Re: hello"),
        (["Precedence: auto_reply"], "Re: hello"),
        ([], "=?utf-8?B?6Ieq5Yqo5Zue5aSNOiBoZWxsbw==?="),
        ([], "Automatic reply: hello"),
        (["Auto-Submitted: auto-generated"], "hello"),
    ],
)
def test_what_a_machine_answers_is_known_as_such(headers: list[str], subject: str) -> None:
    assert read_report(bounces.vacation(TO, *headers, subject=subject)).kind is Kind.AUTO_REPLY


def test_a_persons_mail_is_no_bounce() -> None:
    assert read_report(bounces.vacation(TO)).kind is Kind.UNKNOWN


def nest(levels: int) -> bytes:
    heads = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level) for level in range(levels)
    )
    return heads + b"Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n"


HOSTILE = {
    "nested": nest(20_000),
    "nested mails": b"Content-Type: message/rfc822\r\n\r\n" * 200_000,
    "one header": b"To: " + b"b+" * 5_000_000,
    "folded": b"To: x\r\n" + b" b+aaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 300_000,
    "headers": b"To: x\r\n" * 1_000_000,
    "parameters": b"Content-Type: multipart/report" + b'; boundary="' * 500_000,
    "boundaries": b"Content-Type: multipart/report; boundary=a\r\n\r\n" + b"--a\r\n" * 2_000_000,
    "blocks": b"Content-Type: message/delivery-status\r\n\r\n" + b"Action: failed\r\n\r\n" * 500_000,
    "spaces": b"Subject: x\r\n\r\nYour message could not be delivered to\n" + b" " * 10_000_000,
    "angles": b"From: postmaster@a\r\nContent-Type: text/html\r\n\r\n" + b"<" * 10_000_000,
    "digits": b"From: postmaster@a\r\nSubject: failure notice\r\n\r\n" + b"550 5.1." * 1_000_000,
    "lines": b"Subject: x\r\n\r\n"
    b"A message that you sent could not be delivered\nYour message could not be delivered to\n"
    + (b"a" * 199 + b"\n")
    * 50_000,
    "words": b"Subject: " + b"=?utf-8?b?" * 100_000,
    "diagnostic": bounces.dsn(TO, diagnostic="smtp; " + "550-" * 200_000),
    "tags": bounces.exmail(OWN, "<a" * 200_000),
    "labels": bounces.exmail(OWN, "message-id: <" * 50_000),
    "names": bounces.dsn(OWN, returned="X-Y: " + "0" * 200_000),
    "unknown users": bounces.qq(TO, "<p>" + "收件人 user no " * 30_000 + "</p>"),
    "nothing": b"",
    "zeros": bytes(10_000_000),
    "line ends": b"\r" * 10_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_mail_takes_long_to_be_read(name: str) -> None:
    began = time.process_time()

    read_report(HOSTILE[name])

    assert time.process_time() - began < 1.0


def test_unreadable_words_are_left_out() -> None:
    report = read_report(REPORT.replace(b"User unknown", b"User \xa1s\xe2\x80\xae unknown"))

    assert report.detail.isprintable()
    assert report.detail.endswith("in virtual mailbox table")


@given(raw=st.binary(max_size=2_000))
def test_any_octets_are_read(raw: bytes) -> None:
    assert read_report(raw).detail.isprintable()


@given(at=st.integers(0, len(REPORT)), octets=st.binary(max_size=20), cut=st.integers(0, 200))
def test_a_report_with_a_flaw_is_read(at: int, octets: bytes, cut: int) -> None:
    report = read_report(REPORT[:at] + octets + REPORT[at + cut :])

    assert report.detail.isprintable()
