"""The mail server: what it takes, and what it refuses as real servers do."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPDataError, SMTPServerDisconnected

from imsg_runtime.settings import StartError
from imsg_testing.sandbox import OpenSandbox, mail, open_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[OpenSandbox]:
    async with open_sandbox() as opened:
        yield opened


async def code(client: SMTP, command: str) -> int:
    """Send a raw command, and return the code of the server's reply."""
    return (await client.execute_command(command.encode())).code


async def test_a_mail_arrives_as_it_was_sent_byte_for_byte(sandbox: OpenSandbox) -> None:
    content = bytes(range(256)) * 1_000

    await sandbox.send(mail(files={"季度报告（终稿）.bin": content}))

    (arrived,) = await sandbox.inbox()
    assert arrived["method"] == "smtp"
    assert arrived["to"] == "zhang@example.com"
    assert arrived["from"] == "imsg@example.com"
    assert arrived["subject"] == "开会通知"
    assert arrived["text"] == "下午两点半"
    assert arrived["html"] is None
    assert arrived["message_id"] == "<1@imsg.example>"
    digest = hashlib.sha256(content).hexdigest()
    assert arrived["attachments"] == [{"filename": "季度报告（终稿）.bin", "size": 256_000, "sha256": digest}]
    assert arrived["raw"].startswith("From: imsg@example.com\r\n")


async def test_a_mail_to_two_is_two_messages(sandbox: OpenSandbox) -> None:
    await sandbox.send(mail(others=["li@example.com"]))

    assert [message["to"] for message in await sandbox.inbox()] == ["zhang@example.com", "li@example.com"]


async def test_lines_that_begin_with_a_dot_survive(sandbox: OpenSandbox) -> None:
    plain = "From: a@example.com\r\n\r\n.\r\n..\r\n.end\r\n"
    async with sandbox.speak() as client:
        await client.sendmail("a@example.com", ["b@example.com"], plain)

    (arrived,) = await sandbox.inbox()
    assert arrived["raw"] == plain


@pytest.mark.parametrize(
    ("address", "expected", "status"),
    [
        ("bounce@example.com", 550, "5.1.1"),
        ("bounce+7@example.com", 550, "5.1.1"),
        ("full@example.com", 452, "4.2.2"),
        ("a@nowhere.invalid", 550, "5.1.2"),
        ("no-domain", 501, "5.1.3"),
        ("a..b@example.com", 501, "5.1.3"),
        ("a@-example.com", 501, "5.1.3"),
        (f"{'x' * 65}@example.com", 501, "5.1.3"),
    ],
)
async def test_a_recipient_that_cannot_be_is_refused(
    sandbox: OpenSandbox, address: str, expected: int, status: str
) -> None:
    async with sandbox.speak() as client:
        await client.ehlo()
        await client.mail("imsg@example.com")
        answered = await client.execute_command(f"RCPT TO:<{address}>".encode())

    assert answered.code == expected
    assert answered.message.startswith(status)
    assert await sandbox.inbox() == []


async def test_a_non_ascii_address_wants_smtputf8(sandbox: OpenSandbox) -> None:
    async with sandbox.speak() as client:
        await client.ehlo()
        without = await code(client, "MAIL FROM:<张@example.com>")
        await client.mail("张@example.com", options=["SMTPUTF8"], encoding="utf-8")

        assert [without, await code(client, "RCPT TO:<李@example.com>")] == [501, 250]


async def test_the_greylist_takes_the_second_try_and_begins_anew(sandbox: OpenSandbox) -> None:
    async with sandbox.speak() as client:
        await client.ehlo()
        await client.mail("imsg@example.com")

        assert [await code(client, "RCPT TO:<greylist@example.com>") for _ in range(3)] == [451, 250, 451]


async def test_content_refused_by_policy_is_refused_after_the_dot(sandbox: OpenSandbox) -> None:
    with pytest.raises(SMTPDataError, match=r"5\.7\.1"):
        await sandbox.send(mail(to="spam@example.com"))

    assert await sandbox.inbox() == []


async def test_the_unsure_recipient_keeps_the_mail_and_cuts_once(sandbox: OpenSandbox) -> None:
    with pytest.raises((SMTPServerDisconnected, ConnectionError)):
        await sandbox.send(mail(to="unsure@example.com"))
    await sandbox.send(mail(to="unsure@example.com"))

    assert [message["message_id"] for message in await sandbox.inbox()] == ["<1@imsg.example>"] * 2


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"From: a@example.com\r\n\r\nsmuggled\n.\nline\r\n", b"5.5.2"),
        (b"From: a@example.com\r\n\r\n" + b"x" * 999 + b"\r\n", b"5.6.0"),
        ("From: a@example.com\r\nSubject: 您好\r\n\r\nhello\r\n".encode(), b"5.6.7"),
        (b"Subject: hello\r\n\r\nhello\r\n", b"5.7.1"),
    ],
)
async def test_a_mail_of_the_wrong_form_is_refused(sandbox: OpenSandbox, raw: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    writer.write(
        b"EHLO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + raw + b".\r\nQUIT\r\n"
    )
    async with asyncio.timeout(60):
        replies = (await reader.read(-1)).split(b"\r\n")
    writer.close()

    assert replies[-3].startswith(b"550 " + status)
    assert await sandbox.inbox() == []


async def test_a_line_of_998_octets_is_taken(sandbox: OpenSandbox) -> None:
    raw = "From: a@example.com\r\n\r\n" + "x" * 998 + "\r\n"
    async with sandbox.speak() as client:
        await client.sendmail("a@example.com", ["b@example.com"], raw)

    assert len(await sandbox.inbox()) == 1


async def test_a_mail_over_the_size_is_refused_before_and_after_it_was_sent() -> None:
    async with open_sandbox(smtp={"max_bytes": 4_096}) as sandbox:
        async with sandbox.speak() as client:
            await client.ehlo()
            announced = await client.execute_command(b"MAIL FROM:<imsg@example.com> SIZE=4097")
        assert announced.code == 552

        async with sandbox.speak() as client:
            await client.helo()
            await client.mail("imsg@example.com")
            await client.rcpt("zhang@example.com")
            with pytest.raises(SMTPDataError) as refused:
                await client.data(b"From: a@example.com\r\n\r\n" + b"0123456789\r\n" * 100_000)
            noop = await code(client, "NOOP")
        assert (refused.value.code, noop) == (552, 250)
        assert await sandbox.inbox() == []


async def test_commands_out_of_order_are_refused(sandbox: OpenSandbox) -> None:
    async with sandbox.speak() as client:
        codes = [await code(client, "MAIL FROM:<a@example.com>")]
        await client.ehlo()
        codes += [await code(client, command) for command in ("RCPT TO:<b@example.com>", "DATA")]
        await client.mail("a@example.com")
        codes += [await code(client, command) for command in ("MAIL FROM:<a@example.com>", "DATA", "NONSENSE")]

    assert codes == [503, 503, 503, 503, 503, 500]


async def test_a_peer_that_only_errs_is_sent_away(sandbox: OpenSandbox) -> None:
    async with sandbox.speak() as client:
        with pytest.raises(SMTPServerDisconnected):
            [await code(client, "NONSENSE") for _ in range(20)]


async def test_a_server_with_an_account_wants_a_login() -> None:
    async with open_sandbox(smtp={"username": "imsg", "password": "correct horse"}) as sandbox:
        async with sandbox.speak() as client:
            await client.ehlo()
            assert await code(client, "MAIL FROM:<imsg@example.com>") == 530

        async with sandbox.speak() as client:
            with pytest.raises(SMTPAuthenticationError):
                await client.login("imsg", "wrong")

        async with sandbox.speak() as client:
            await client.ehlo()
            right = await client.auth_login("imsg", "correct horse")
            assert (right.code, await code(client, "MAIL FROM:<imsg@example.com>")) == (235, 250)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))
    return file


def _trust_any() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_a_login_is_taken_under_starttls_alone(certificate: Path) -> None:
    smtp = {"username": "imsg", "password": "pw", "security": "starttls", "certificate": certificate}
    async with open_sandbox(smtp=smtp) as sandbox:
        async with sandbox.speak() as client:
            await client.ehlo()
            assert client.supports_extension("starttls")
            assert not client.supports_extension("auth")
            codes = [await code(client, "AUTH PLAIN AGltc2cAcHc="), await code(client, "MAIL FROM:<a@example.com>")]
            codes.append((await client.starttls(tls_context=_trust_any())).code)
            codes.append(await code(client, "MAIL FROM:<a@example.com>"))
            codes.append((await client.login("imsg", "pw")).code)
            await client.send_message(mail(files={"大附件.bin": bytes(3_000_000)}))

        assert codes == [530, 530, 220, 503, 235]
        (arrived,) = await sandbox.inbox()
        assert arrived["attachments"][0]["size"] == 3_000_000


async def test_commands_smuggled_in_before_tls_are_forgotten(certificate: Path) -> None:
    """CVE-2011-0411: a MAIL that came before encryption must not count after it."""
    async with open_sandbox(smtp={"security": "starttls", "certificate": certificate}) as sandbox, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(b"EHLO me\r\nSTARTTLS\r\nMAIL FROM:<a@example.com>\r\n")
        await reader.readuntil(b"220 Ready to start TLS\r\n")
        await writer.start_tls(_trust_any())
        writer.write(b"HELO me\r\nRCPT TO:<b@example.com>\r\n")
        greeted, refused = await reader.readline(), await reader.readline()
        writer.close()

        assert (greeted[:3], refused[:3]) == (b"250", b"503")


async def test_tls_from_the_first_byte_works_too(certificate: Path) -> None:
    async with open_sandbox(smtp={"security": "tls", "certificate": certificate}) as sandbox:
        async with sandbox.speak(tls=_trust_any()) as client:
            await client.send_message(mail())

        assert len(await sandbox.inbox()) == 1


async def test_tls_without_a_certificate_does_not_start() -> None:
    with pytest.raises(StartError, match="IMSG_SANDBOX__SMTP__CERTIFICATE"):
        async with open_sandbox(smtp={"security": "tls"}):
            pass


async def test_a_taken_port_does_not_start() -> None:
    async with open_sandbox() as first:
        with pytest.raises(StartError, match=rf"{first.port}.*IMSG_SANDBOX__SMTP_PORT"):
            async with open_sandbox(smtp_port=first.port):
                pass
