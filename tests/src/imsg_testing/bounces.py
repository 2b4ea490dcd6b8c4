"""Mails that come back, in the forms of the servers that write them.

Written for these tests after the forms that are published or known of each server; none is anybody's mail.
"""

import asyncio
from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime

from aiosmtplib import SMTP

BOUNCE_SECRET = "a-secret-of-the-url-0123456789"
"""Who has it may push bounces to a deployment of the tests: it stands behind the URL of the hook."""

DATE = "Wed, 25 Nov 2026 10:00:05 +0800"

UNKNOWN_USER = "smtp; 550 5.1.1 <zhang@corp.cn>: Recipient address rejected: User unknown in virtual mailbox table"


CRLF = "\r\n"

HEAD = "Subject: hello"
"""What a returned mail's headers hold beside its path."""


def bring(port: int, to: str, raw: bytes, *, address: str = "127.0.0.1") -> None:
    """Bring a mail to a listener of this machine, as a mail server does, from an address of it.

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
            timeout=10,
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


def exim(to: str, head: str = HEAD) -> bytes:
    """Write a report as Exim does: its status says nothing, the reply's lines do."""
    return f"""\
Return-path: <>
Envelope-to: {to}
Received: from Debian-exim by mail.uni.cn with local (Exim 4.96)
\tid 1vNqXy-000abc-2K; Wed, 25 Nov 2026 10:00:05 +0800
X-Failed-Recipients: zhang@corp.cn
Auto-Submitted: auto-replied
From: Mail Delivery System <Mailer-Daemon@mail.uni.cn>
To: {to}
References: <0192f0c4-1@example.com>
Content-Type: multipart/report; report-type=delivery-status; boundary=1764036005-eximdsn-804289383
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1vNqXy-000abd-2L@mail.uni.cn>
Date: {DATE}

--1764036005-eximdsn-804289383
Content-type: text/plain; charset=us-ascii

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  zhang@corp.cn
    host gmail-smtp-in.l.google.com [142.250.102.27]
    SMTP error from remote mail server after RCPT TO:<zhang@corp.cn>:
    550-5.1.1 The email account that you tried to reach does not exist.
    550 5.1.1  https://support.google.com/mail/?p=NoSuchUser - gsmtp

--1764036005-eximdsn-804289383
Content-type: message/delivery-status

Reporting-MTA: dns; mail.uni.cn

Action: failed
Final-Recipient: rfc822;zhang@corp.cn
Status: 5.0.0
Remote-MTA: dns; gmail-smtp-in.l.google.com
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.
 550 5.1.1  https://support.google.com/mail/?p=NoSuchUser - gsmtp

--1764036005-eximdsn-804289383
Content-type: message/rfc822

Return-path: <{to}>
{head}

--1764036005-eximdsn-804289383--
""".encode()


def exchange(to: str, head: str = HEAD) -> bytes:
    """Write a report as Exchange Online does: a HTML page for people, UTF-8 fields, its own codes."""
    page = b64encode("<html><body>无法将您的邮件传递给 zhang@corp.cn。</body></html>".encode()).decode()
    return f"""\
From: postmaster@corp.onmicrosoft.com
To: {to}
Date: {DATE}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="b2c1f7a0-1d3e-4e55-9d0a-0f1e2d3c4b5a"
X-MS-Exchange-Message-Is-Ndr:
Content-Language: zh-CN
Subject: =?utf-8?B?5peg5rOV6YCB6L6+OiBoZWxsbw==?=
Auto-Submitted: auto-replied

--b2c1f7a0-1d3e-4e55-9d0a-0f1e2d3c4b5a
Content-Type: multipart/alternative; differences=Content-Type;
\tboundary="a7f1f2c3-0000-4e55-9d0a-0f1e2d3c4b5a"

--a7f1f2c3-0000-4e55-9d0a-0f1e2d3c4b5a
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: base64

{page}

--a7f1f2c3-0000-4e55-9d0a-0f1e2d3c4b5a--

--b2c1f7a0-1d3e-4e55-9d0a-0f1e2d3c4b5a
Content-Type: message/delivery-status

Reporting-MTA: dns;SH0PR01MB1234.CHNPR01.prod.partner.outlook.cn
Received-From-MTA: dns;example.com
Arrival-Date: Wed, 25 Nov 2026 02:00:04 +0000

Final-Recipient: rfc822;zhang@corp.cn
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient zhang@corp.cn not found by SMTP
 address lookup

--b2c1f7a0-1d3e-4e55-9d0a-0f1e2d3c4b5a
Content-Type: message/rfc822

Return-Path: {to}
{head}

--b2c1f7a0-1d3e-4e55-9d0a-0f1e2d3c4b5a--
""".encode()


def gmail(to: str, head: str = HEAD) -> bytes:
    """Write a report as Google does: a folded reply, a picture among the parts, a full mailbox."""
    return f"""\
Delivered-To: {to}
Return-Path: <>
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: {to}
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
Date: Tue, 24 Nov 2026 18:00:05 -0800 (PST)
Content-Type: multipart/report; boundary="000000000000f4ac0e05d1a2b3c4"; report-type=delivery-status
X-Failed-Recipients: zhang@gmail.com

--000000000000f4ac0e05d1a2b3c4
Content-Type: multipart/related; boundary="000000000000f4b26205d1a2b3c5"

--000000000000f4b26205d1a2b3c5
Content-Type: multipart/alternative; boundary="000000000000f4b26b05d1a2b3c6"

--000000000000f4b26b05d1a2b3c6
Content-Type: text/plain; charset="UTF-8"


** The recipient's inbox is full **

Your message couldn't be delivered to zhang@gmail.com. Their inbox is full, or it's getting too much mail right now.

--000000000000f4b26b05d1a2b3c6--
--000000000000f4b26205d1a2b3c5
Content-Type: image/png; name="icon.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--000000000000f4b26205d1a2b3c5--
--000000000000f4ac0e05d1a2b3c4
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Arrival-Date: Tue, 24 Nov 2026 18:00:04 -0800 (PST)
X-Original-Message-ID: <0192f0c4-1@example.com>

Final-Recipient: rfc822; zhang@gmail.com
Action: failed
Status: 5.2.2
Remote-MTA: dns; gmail-smtp-in.l.google.com. (142.250.102.27, the server for the domain gmail.com.)
Diagnostic-Code: smtp; 552-5.2.2 The recipient's inbox is out of storage space and inactive. Please
 552-5.2.2 direct the recipient to
 552 5.2.2  https://support.google.com/mail/?p=OverQuotaPerm - gsmtp
Last-Attempt-Date: Tue, 24 Nov 2026 18:00:05 -0800 (PST)

--000000000000f4ac0e05d1a2b3c4
Content-Type: message/rfc822

Return-Path: <{to}>
{head}

--000000000000f4ac0e05d1a2b3c4--
""".encode()


def netease(to: str, head: str = HEAD) -> bytes:
    """Write a report as NetEase's Coremail does: its text in GB2312, one block without the server's own, a prefix."""
    text = b64encode("抱歉，您的邮件被退回来了……\r\n退信原因：收件人不存在。".encode("gb2312")).decode()
    boundary = "------------Boundary-00=_A4D79LETZLFHNGCAMY50"
    return f"""\
From: Postmaster@163.com
To: {to}
Subject: =?gb2312?B?z7XNs83L0MU=?=
MIME-Version: 1.0
Content-Type: Multipart/report;
  report-type=delivery-status;
  boundary="{boundary}"
Message-Id: <55B7962A.07A4C6.04348@163smtp14>
Date: {DATE}
X-Mailer: Coremail MTA server
X-CM-TRANSID:EsCowEDZokEmlrdVBrENAA--.4526S2.B27461



--{boundary}
MIME-Version: 1.0
Content-Type: Text/Plain;
  charset="gb2312"
Content-Transfer-Encoding: base64
Content-Description: Notification

{text}

--{boundary}
Content-Type: Message/delivery-status
Content-Description: Delivery error report

Final-Recipient: rfc822; zhang@corp.cn
Action: failed
Status: 5.0.0
Diagnostic-Code: SMTP; SMTP error, RCPT TO: 550 User not found: zhang@corp.cn
--{boundary}
Content-Type: Message/Rfc822
Content-Description: Undelivered Message
Content-Transfer-Encoding: 8bit

Received: from example.com (unknown [203.0.113.9])
\tby smtp14 (Coremail) with SMTP id EsCowEDZokEmlrdVBrENAA--.4526S2;
\tWed, 25 Nov 2026 10:00:04 +0800 (CST)
Return-Path: <{to}>
{head}

Hello.

--{boundary}--
""".encode()


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


def direct_mail(to: str, head: str = HEAD) -> bytes:
    """Write a report as Alibaba's servers do: of their own codes, the headers alone returned."""
    return f"""\
From: <MAILER-DAEMON@out.dm.aliyun.com>
To: {to}
Subject: =?utf-8?B?{b64encode("退信通知".encode()).decode()}?=
Date: {DATE}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="dm-1764036005"

--dm-1764036005
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: base64

{b64encode("您的邮件无法送达 zhang@corp.cn。".encode()).decode()}

--dm-1764036005
Content-Type: message/delivery-status

Reporting-MTA: dns; out.dm.aliyun.com

Final-Recipient: rfc822; zhang@corp.cn
Action: failed
Status: 5.0.0
Diagnostic-Code: smtp; 559 Invalid rcptto [@sm060102]

--dm-1764036005
Content-Type: message/rfc822-headers

{head}

--dm-1764036005--
""".encode()


def qmail(to: str, said: str = "Remote host said: 550 5.1.1 unknown user zhang@corp.cn", head: str = HEAD) -> bytes:
    """Write a bounce as qmail does: of before RFC 3464."""
    return f"""\
Return-Path: <>
Date: 25 Nov 2026 02:00:05 -0000
From: MAILER-DAEMON@mx.corp.cn
To: {to}
Subject: failure notice

Hi. This is the qmail-send program at mx.corp.cn.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<zhang@corp.cn>:
203.0.113.9 does not like recipient.
{said}
Giving up on 203.0.113.9.

--- Below this line is a copy of the message.

Return-Path: <{to}>
{head}

Hello, and good bye.
""".encode()


def sendmail(to: str, head: str = HEAD) -> bytes:
    """Write a report as sendmail does."""
    return f"""\
Return-Path: <MAILER-DAEMON@mail.uni.cn>
Date: {DATE}
From: Mail Delivery Subsystem <MAILER-DAEMON@mail.uni.cn>
Message-Id: <202611250200.4AP205xQ012345@mail.uni.cn>
To: <{to}>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4AP205xQ012345.1764036005/mail.uni.cn"
Subject: Returned mail: see transcript for details
Auto-Submitted: auto-generated (failure)

This is a MIME-encapsulated message

--4AP205xQ012345.1764036005/mail.uni.cn

   ----- The following addresses had permanent fatal errors -----
<zhang@corp.cn>
    (reason: 550 5.1.1 <zhang@corp.cn>... User unknown)

   ----- Transcript of session follows -----
... while talking to mx.corp.cn.:
>>> DATA
<<< 550 5.1.1 <zhang@corp.cn>... User unknown

--4AP205xQ012345.1764036005/mail.uni.cn
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.uni.cn
Arrival-Date: Wed, 25 Nov 2026 10:00:04 +0800

Final-Recipient: RFC822; zhang@corp.cn
Action: failed
Status: 5.1.1
Remote-MTA: DNS; mx.corp.cn
Diagnostic-Code: SMTP; 550 5.1.1 <zhang@corp.cn>... User unknown

--4AP205xQ012345.1764036005/mail.uni.cn
Content-Type: text/rfc822-headers

Return-Path: <{to}>
{head}

--4AP205xQ012345.1764036005/mail.uni.cn--
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
