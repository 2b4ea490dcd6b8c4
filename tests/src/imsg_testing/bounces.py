"""Bounces and complaints in the forms of the mail servers that write them.

They were written for these tests after published forms. None is a real mail.
"""

import asyncio
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from pathlib import Path

from aiosmtplib import SMTP

MAILS = Path(__file__).with_name("bounce_mails")

BOUNCE_SECRET = "a-secret-of-the-url-0123456789"
"""The secret in the URL of the hook to which the tests push bounces."""

DATE = "Wed, 25 Nov 2026 10:00:05 +0800"

UNKNOWN_USER = "smtp; 550 5.1.1 <zhang@corp.cn>: Recipient address rejected: User unknown in virtual mailbox table"


CRLF = "\r\n"

HEAD = "Subject: hello"
"""What a returned mail's headers hold beside its path."""


def bring(port: int, to: str, raw: bytes, *, address: str = "127.0.0.1") -> None:
    """Deliver a mail to a listener of this machine, as a mail server does, from an address of it.

    Raises aiosmtplib.SMTPException.
    """

    async def hand_over() -> None:
        server = SMTP(
            hostname="127.0.0.1",
            port=port,
            use_tls=False,
            start_tls=False,
            local_hostname="mx.corp.cn",
            source_address=(address, 0),
            timeout=60,
        )
        async with server:
            await server.sendmail("", [to], raw)

    asyncio.run(hand_over())


def now() -> str:
    """Write this moment as a mail has it."""
    return format_datetime(datetime.now(UTC))


def dsn(
    to: str,
    *,
    recipient: str = "zhang@corp.cn",
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = UNKNOWN_USER,
    envid: str = "",
    date: str = DATE,
    headers: str = "",
    returned: str = "",
) -> bytes:
    """Write a report as Postfix does; `diagnostic` may hold line ends of a folded field."""
    envelope = f"Original-Envelope-Id: {envid}\r\n" if envid else ""
    said = f"Diagnostic-Code: {diagnostic}\r\n" if diagnostic else ""
    text = f"""\
Return-Path: <>
{headers}Date: {date}
From: MAILER-DAEMON@mx.corp.cn (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4BtKxQ0000z1.1764036005/mx.corp.cn"
Message-Id: <20261125020005.4BtKxR0001z1@mx.corp.cn>

This is a MIME-encapsulated message.

--4BtKxQ0000z1.1764036005/mx.corp.cn
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.corp.cn.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

--4BtKxQ0000z1.1764036005/mx.corp.cn
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.corp.cn
{envelope}X-Postfix-Queue-ID: 4BtKxQ0000z1
X-Postfix-Sender: rfc822; {to}
Arrival-Date: Wed, 25 Nov 2026 10:00:04 +0800 (CST)

Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: {action}
Status: {status}
{said}
--4BtKxQ0000z1.1764036005/mx.corp.cn
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

{returned or "Subject: hello"}

--4BtKxQ0000z1.1764036005/mx.corp.cn--
"""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def fill(file: str, to: str, head: str = HEAD, **fields: str) -> bytes:
    """Return a mail of the folder `bounce_mails`, sent to `to`, that returns a mail with the headers `head`."""
    text = (MAILS / file).read_text(encoding="utf-8")
    for name, value in {"to": to, "head": head, **fields}.items():
        text = text.replace(f"{{{name}}}", value)
    return text.encode()


exim = partial(fill, "exim.eml")
"""Its status says nothing; the lines of the reply do."""

exchange = partial(fill, "exchange.eml")
"""Exchange Online: an HTML page for people, UTF-8 fields, codes of its own."""

gmail = partial(fill, "gmail.eml")
"""A folded reply, a picture among the parts, a full mailbox."""

netease = partial(fill, "netease.eml")
"""Coremail: GB2312 text, one block without that of the server, a prefix."""

direct_mail = partial(fill, "direct_mail.eml")
"""Alibaba: codes of its own, only the headers are returned."""

sendmail = partial(fill, "sendmail.eml")


def qmail(to: str, reply: str = "Remote host said: 550 5.1.1 unknown user zhang@corp.cn", head: str = HEAD) -> bytes:
    """Return a bounce as qmail writes it, in the form before RFC 3464."""
    return fill("qmail.eml", to, head, reply=reply)


QQ_PAGE = """<p>退信原因：收件人邮件地址（zhang@qq.com）不存在，邮件无法送达。</p>
<p>host mx3.qq.com[203.205.219.57] said: 550 5.1.1 Mailbox unavailable or access denied</p>"""


def qq(to: str, page: str = QQ_PAGE) -> bytes:
    """Write a bounce as QQ does: no report, a page in GB18030 for people."""
    body = b64encode(f"<html><body>{page}</body></html>".encode("gb18030")).decode()
    return f"""\
From: PostMaster@qq.com
To: {to}
Subject: =?gb18030?B?z7XNs83L0MU=?=
Date: {DATE}
MIME-Version: 1.0
Content-Type: text/html; charset="gb18030"
Content-Transfer-Encoding: base64

{body}
""".encode()


def qq_with_the_mail(to: str, head: str = HEAD) -> bytes:
    """Write a bounce as QQ does since it attaches the mail: a page in GB18030, and `mail.eml`; no status."""
    page = """<html><body><p>很抱歉您发送的邮件被退回，以下是该邮件的相关信息：</p>
<table><tr><td>被退回邮件</td><td>主 题：hello <br/>时 间：2026-11-25 10:00:05 </td></tr>
<tr><td colspan="2">无法发送到 zhang@corp.cn</td></tr>
<tr><td>退信原因</td><td>收件人邮件地址（zhang@corp.cn）不存在，邮件无法送达。<br/>
host mx3.qq.com[203.205.219.57] said: 550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?no=1</td></tr>
<tr><td>解决方案</td><td>请联系您的收件人，重新核实邮箱地址。</td></tr></table></body></html>"""
    return f"""\
From: "PostMaster" <PostMaster@qq.com>
To: {to}
Subject: =?gb2312?B?wLTX1HFxLmNvbbXEzcvQxQ==?=
Date: {DATE}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="----=_NextPart_6925"

------=_NextPart_6925
Content-Type: text/html; charset="gb18030"
Content-Transfer-Encoding: base64

{b64encode(page.encode("gb18030")).decode()}

------=_NextPart_6925
Content-Type: application/octet-stream; name="mail.eml"
Content-Disposition: attachment; filename="mail.eml"
Content-Transfer-Encoding: base64

{b64encode(f"Return-Path: <{to}>{CRLF}{head}{CRLF}{CRLF}Hello.".encode()).decode()}

------=_NextPart_6925--
""".encode()


def exmail(to: str, head: str = HEAD) -> bytes:
    """Write a bounce as a page that quotes the returned mail's headers, as mail for companies is returned."""
    quoted = head.replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br/>")
    page = f"""<html><body><p>退信原因：收件人邮件地址（zhang@corp.cn）不存在，邮件无法送达。</p>
<p>550&nbsp;Mailbox&nbsp;not&nbsp;found.</p><hr/><div>{quoted}</div></body></html>"""
    return f"""\
From: postmaster@exmail.weixin.qq.com
To: {to}
Subject: =?gb18030?B?z7XNs83L0MU=?=
Date: {DATE}
MIME-Version: 1.0
Content-Type: text/html; charset="gb18030"
Content-Transfer-Encoding: base64

{b64encode(page.encode("gb18030")).decode()}
""".encode()


def complaint(to: str, returned_path: str, kind: str = "abuse", *, date: str = DATE) -> bytes:
    """Write a complaint (RFC 5965), the address of who complains blackened, as most are."""
    return f"""\
From: <staff@hotmail.com>
Date: {date}
Subject: complaint about message from 203.0.113.9
To: {to}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
\tboundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report for an email message received from 203.0.113.9.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Rcpt-To: <redacted@hotmail.com>
Arrival-Date: Wed, 25 Nov 2026 10:00:00 +0800
Source-IP: 203.0.113.9

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

Return-Path: <{returned_path}>
From: <news@example.com>
Subject: Earn money

Spam Spam Spam
--part1_13d.2e68ed54_boundary--
""".encode()


def vacation(to: str, *headers: str, subject: str = "hello") -> bytes:
    """Write what a mailbox answers by itself."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return (
        f"From: zhang@corp.cn\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {DATE}\r\n{lines}\r\n"
        "I'm on holiday until Monday. Your message could not be answered.\r\n"
    ).encode()
