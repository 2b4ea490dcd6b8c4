"""The SMTP listener accepts mail with a true token, relays nothing, and withstands hostile clients."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from aiosmtplib import SMTP, SMTPConnectError, SMTPDataError, SMTPRecipientsRefused, SMTPResponseException
from prometheus_client import CollectorRegistry

from imsg_runtime.settings import StartError
from imsg_smtp.bounce_settings import BounceListener
from imsg_smtp.bounces import listener as listener_module
from imsg_smtp.bounces.ingest import Ingester, make_counter
from imsg_smtp.bounces.listener import Listener, RecipientCheck, client_key
from imsg_smtp.bounces.process import IngestedBounce, RetryLater, Verdict
from imsg_testing.loop_time import pass_time
from imsg_testing.servers import reserve_port
from imsg_testing.servers.certificates import Certificates

DOMAIN = "bounce.example.com"
OURS = f"b+true@{DOMAIN}"
BOUNCE = b"From: MAILER-DAEMON@mx.example.org\r\nSubject: Undelivered\r\n\r\nNo such user.\r\n"


@dataclass
class Recorder:
    """Keeps what it is given, as the catalog of bounces would; or is away."""

    kept: list[tuple[bytes, list[str]]] = field(default_factory=list)
    verdict: Verdict = Verdict.ACCEPTED
    failure: Exception | None = None
    gate: asyncio.Event | None = None

    async def process(self, raw: bytes, recipients: Sequence[str]) -> IngestedBounce:
        """Record the mail."""
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.kept.append((raw, list(recipients)))
        return IngestedBounce(self.verdict, "as its test wants")


@dataclass
class Running:
    """A listener, and what it was handed."""

    port: int
    recorder: Recorder
    registry: CollectorRegistry
    listener: Listener

    def count(self, result: str) -> float:
        """Return the number of mails with this result."""
        return self.registry.get_sample_value("imsg_bounce_mails_total", {"source": "listener", "result": result}) or 0

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[SMTP]:
        """Connect as a mail server does."""
        smtp = SMTP(
            hostname="127.0.0.1",
            port=self.port,
            use_tls=False,
            start_tls=False,
            local_hostname="mx.example.org",
            timeout=30,
        )
        await smtp.connect()
        yield smtp
        smtp.close()

    async def talk(self, *said: bytes, until_closed: bool = False) -> bytes:
        """Send chunks one by one, and return all replies up to that of a final QUIT."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"".join(said) + (b"" if until_closed else b"QUIT\r\n"))
            async with asyncio.timeout(60):
                return await reader.read(-1)
        finally:
            writer.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hurry no client, however full it is, and end in peace: the machine may be busy."""
    for name in ("STRESSED_S", "SHUTDOWN_S"):
        monkeypatch.setattr(listener_module, name, 60.0)


@contextlib.asynccontextmanager
async def listening(recorder: Recorder | None = None, **settings: object) -> AsyncIterator[Running]:
    port = reserve_port()
    registry = CollectorRegistry()
    recorder = recorder or Recorder()
    listener = Listener(
        BounceListener.model_validate({"port": port, "host": "127.0.0.1", **settings}),
        RecipientCheck({DOMAIN}, lambda local: local.lower() == "b+true"),
        Ingester(recorder, "listener", make_counter(registry)),
    )
    async with listener.listening():
        yield Running(port, recorder, registry, listener)


async def test_a_bounce_is_taken_as_it_came() -> None:
    async with listening() as running, running.client() as smtp:
        await smtp.ehlo()
        assert smtp.supports_extension("pipelining")
        await smtp.sendmail("", [OURS], BOUNCE + b".a line with a dot\r\n..\r\n")
        await smtp.sendmail("someone@example.org", [OURS.upper()], BOUNCE)
    assert running.recorder.kept == [
        (BOUNCE + b".a line with a dot\r\n..\r\n", [OURS]),
        (BOUNCE, [OURS.upper()]),
    ]
    assert running.count("accepted") == 2


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        (f"b+forged@{DOMAIN}", "550 5.1.1"),
        (f"someone@{DOMAIN}", "550 5.1.1"),
        ("b+true@elsewhere.example", "550 5.7.1"),
        (f"b+true%elsewhere.example@{DOMAIN}", "550 5.1.1"),
        ("nobody", "550 5.7.1"),
        (f"b+{'x' * 70}@{DOMAIN}", "553 5.1.3"),
    ],
)
async def test_who_is_not_there_is_refused_at_once(recipient: str, code: str) -> None:
    async with listening() as running:
        answered = await running.talk(b"EHLO x\r\nMAIL FROM:<>\r\n", f"RCPT TO:<{recipient}>\r\nDATA\r\n".encode())
    assert f"\r\n{code} ".encode() in answered
    assert b"\r\n503 " in answered, "there is no DATA without a recipient"
    assert not running.recorder.kept


async def test_what_cannot_be_kept_is_asked_for_again() -> None:
    async with listening(Recorder(failure=RetryLater("the broker is away"))) as running, running.client() as smtp:
        with pytest.raises(SMTPDataError) as refused:
            await smtp.sendmail("", [OURS], BOUNCE)
        assert refused.value.code == 451
        running.recorder.failure = RuntimeError("a bug of ours")
        with pytest.raises(SMTPDataError) as refused:
            await smtp.sendmail("", [OURS], BOUNCE)
        assert refused.value.code == 451
        assert "bug" not in refused.value.message
        running.recorder.failure = None
        await smtp.sendmail("", [OURS], BOUNCE)
    assert [raw for raw, _ in running.recorder.kept] == [BOUNCE]
    assert running.count("later") == 2


async def test_a_token_that_is_not_known_after_all_is_refused() -> None:
    async with listening(Recorder(verdict=Verdict.UNKNOWN_TOKEN)) as running, running.client() as smtp:
        with pytest.raises(SMTPDataError) as refused:
            await smtp.sendmail("", [OURS], BOUNCE)
    assert refused.value.code == 550


@pytest.mark.parametrize("to", ["postmaster", f"Postmaster@{DOMAIN}", f"abuse@{DOMAIN}"])
async def test_mail_to_postmaster_is_accepted_and_logged(to: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with listening(Recorder(verdict=Verdict.UNKNOWN_TOKEN)) as running:
        answered = await running.talk(
            b"EHLO x\r\nMAIL FROM:<li@example.org>\r\n", f"RCPT TO:<{to}>\r\nDATA\r\n".encode(), BOUNCE, b".\r\n"
        )
    assert b"\r\n250 2.0.0 kept\r\n" in answered
    assert running.recorder.kept == [(BOUNCE, [])], "a complaint may be inside"
    assert "mail_to_postmaster" in "".join(capsys.readouterr())


async def test_commands_may_come_in_one_go_and_be_taken_back() -> None:
    async with listening() as running:
        answered = await running.talk(
            b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nRSET\r\nDATA\r\n"
            b"MAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\n.\r\n"
            b"MAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\n",
            BOUNCE,
            b".\r\nNOOP\r\n",
        )
    assert b"\r\n503 " in answered, "RSET took the recipient back"
    assert [raw for raw, _ in running.recorder.kept] == [b"", BOUNCE]
    assert answered.endswith(b"250 OK\r\n221 Bye\r\n")


async def test_larger_than_the_limit_is_refused() -> None:
    async with listening(max_bytes=64 * 1024) as running:
        begin = b"EHLO x\r\nMAIL FROM:<> SIZE=70000\r\nMAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\n"
        answered = await running.talk(begin, b"x" * 70_000, b"\r\n.\r\n", begin[8:], BOUNCE, b".\r\n")
        fits = b"a" * 1_022 + b"\r\n"
        await running.talk(begin, fits * 64, b".\r\n")
    assert b"250-SIZE 65536\r\n" in answered
    assert answered.count(b"\r\n552 ") == 3, "twice declared, once sent"
    assert [len(raw) for raw, _ in running.recorder.kept] == [len(BOUNCE), 64 * 1024]


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"])
async def test_a_second_message_cannot_be_smuggled_in(end: bytes) -> None:
    """What another server takes for the end of a message would let a stranger speak in its name."""
    smuggled = b"MAIL FROM:<admin@example.com>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\nforged\r\n"
    async with listening() as running:
        answered = await running.talk(
            b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\n",
            b"text",
            end,
            smuggled,
            b".\r\n",
        )
    assert b"\r\n554 5.6.0 " in answered
    assert not running.recorder.kept


async def test_no_client_logs_in_or_learns_which_addresses_exist() -> None:
    async with listening() as running:
        answered = await running.talk(b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\nVRFY postmaster\r\nEXPN all\r\nHELP DATA\r\n")
    assert b"AUTH" not in answered
    assert answered.count(b"\r\n502 ") == 3


async def test_guessing_recipients_ends_the_connection() -> None:
    async with listening() as running:
        guesses = b"".join(b"RCPT TO:<b+%d@bounce.example.com>\r\n" % n for n in range(50))
        answered = await running.talk(b"EHLO x\r\nMAIL FROM:<>\r\n", guesses, until_closed=True)
    assert answered.count(b"550 5.1.1") == 9
    assert b"421 4.7.0 too many unknown recipients\r\n" in answered


@pytest.mark.parametrize("line", [b"\n", b"\xff\r\n", b"NOOP " + b"x" * 600 + b"\r\n", b"AUTH PLAIN x\r\n"])
async def test_lines_that_are_no_command_end_the_connection(line: bytes) -> None:
    async with listening() as running:
        answered = await running.talk(line * 30, until_closed=True)
    assert answered.count(b"\r\n5") == 20
    assert b"421 4.7.0 too many errors\r\n" in answered


async def test_others_have_their_turn_between_commands_that_come_in_one_go() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with listening() as running:
        others = asyncio.create_task(take_turns())
        answered = await running.talk(b"NOOP\r\n" * 1_000)
        others.cancel()
    assert answered.count(b"250 OK\r\n") == 1_000
    assert turns >= 1_000


async def test_a_connection_hands_over_so_many_and_no_more() -> None:
    async with listening(messages=2) as running:
        transaction = b"MAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\n" + BOUNCE + b".\r\n"
        answered = await running.talk(b"EHLO x\r\n", transaction * 3, until_closed=True)
    assert b"421 4.7.0 too many messages" in answered
    assert len(running.recorder.kept) == 2


async def come_from(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from an address of this machine."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def fill_halves() -> None:
    """One address comes more often than it may, and another comes after it."""

    async def greeting(address: str) -> bytes:
        reader, writer = await come_from(address, running.port)
        opened.append(writer)
        return (await reader.readline())[:4]

    opened: list[asyncio.StreamWriter] = []
    async with listening(connections=6) as running:
        assert [await greeting("127.0.0.2") for _ in range(5)] == [b"220 "] * 3 + [b"421 "] * 2
        assert [await greeting("127.0.0.3") for _ in range(2)] == [b"220 "] * 2
        for writer in opened:
            writer.close()
    assert running.count("busy") == 2


async def test_one_address_holds_half_of_the_connections_and_the_others_are_for_others() -> None:
    await fill_halves()


def test_too_many_connections_of_one_network_are_refused_on_uvloop_too() -> None:
    """Its transports are no asyncio.Transport: a check for that left such connections open and uncounted."""
    uvloop.run(fill_halves())


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_client_is_its_address_and_of_ipv6_its_network(address: str, name: str) -> None:
    assert client_key(address) == name


async def test_a_silent_client_is_disconnected_and_makes_room() -> None:
    """Slow clients fill what there is only for as long as their time lasts."""
    async with listening(connections=2) as running:
        slow = [await come_from(address, running.port) for address in ("127.0.0.2", "127.0.0.3")]
        for reader, writer in slow:
            assert (await reader.readline()).startswith(b"220 ")
            writer.write(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\na")
            while not (await reader.readline()).startswith(b"354"):
                pass
        with pytest.raises((SMTPResponseException, SMTPConnectError)) as busy:
            async with running.client():
                pass
        assert "421" in repr(busy.value)
        pass_time(running.listener.settings.timeout_s)
        async with asyncio.timeout(60):
            for reader, writer in slow:
                await reader.read(-1)
                writer.close()
        async with running.client() as smtp:
            await smtp.sendmail("", [OURS], BOUNCE)
    assert running.count("busy") == 1
    assert len(running.recorder.kept) == 1


async def test_lines_of_two_bytes_cost_no_more_than_the_message_of_which_the_beginning_is_kept() -> None:
    """1.25 MiB of them, which as an object for each line would be 50 MiB; and others are answered meanwhile."""
    async with listening() as running, running.client() as other:
        sent = asyncio.create_task(
            running.talk(
                b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\n",
                b"a.\r\n" * (5 * 64 * 1024),
                b".\r\n",
            )
        )
        await asyncio.sleep(0.05)
        assert (await other.noop())[0] == 250
        assert b"250 2.0.0 kept" in await sent
    assert running.recorder.kept[0][0] == b"a.\r\n" * (1024 * 1024 // 4)


async def test_a_message_that_is_being_kept_is_answered_before_the_end() -> None:
    recorder = Recorder(gate=asyncio.Event())
    async with listening(recorder) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b+true@bounce.example.com>\r\nDATA\r\n" + BOUNCE + b".\r\n")
        while b"354" not in (await reader.readline()):
            pass
        while not any(session.is_ingesting for session in running.listener.sessions):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.2, recorder.gate.set if recorder.gate else lambda: None)
    async with asyncio.timeout(60):
        assert b"250 2.0.0 kept" in await reader.read(-1)
    writer.close()


async def _speak_tls(running: Running, ca: Path) -> None:
    context = ssl.create_default_context(cafile=str(ca))
    smtp = SMTP(hostname="localhost", port=running.port, use_tls=False, start_tls=True, tls_context=context, timeout=30)
    async with smtp:
        assert not smtp.supports_extension("auth")
        await smtp.sendmail("", [OURS], BOUNCE)


async def test_starttls_and_a_certificate_that_is_renewed(tmp_path: Path) -> None:
    own = Certificates(tmp_path, "localhost")
    async with listening(cert_file=own.server, key_file=own.server_key) as running:
        await _speak_tls(running, own.ca)
        (tmp_path / "new").mkdir()
        new = Certificates(tmp_path / "new", "localhost")
        new.server_key.rename(own.server_key)
        new.server.rename(own.server)
        await _speak_tls(running, new.ca)
    assert len(running.recorder.kept) == 2


def test_starttls_in_the_loop_of_the_services(tmp_path: Path) -> None:
    """The library begins TLS by the inside of asyncio's; the services' loop is another."""
    own = Certificates(tmp_path, "localhost")

    async def speak() -> int:
        async with listening(cert_file=own.server, key_file=own.server_key) as running:
            await _speak_tls(running, own.ca)
            return len(running.recorder.kept)

    assert uvloop.run(speak()) == 1


async def test_a_port_in_use_is_reported_at_the_start() -> None:
    async with listening() as running:
        with pytest.raises(StartError, match="IMSG_SMTP__BOUNCE_LISTENER__PORT"):
            async with listening(port=running.port):
                pass


async def test_an_unreadable_certificate_is_reported_at_the_start(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nothing")
    with pytest.raises(StartError, match="IMSG_SMTP__BOUNCE_LISTENER__CERT_FILE"):
        async with listening(cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem"):
            pass


async def test_refused_recipients_do_not_keep_the_others_out() -> None:
    async with listening() as running, running.client() as smtp:
        refused, _ = await smtp.sendmail("", [OURS, f"b+forged@{DOMAIN}"], BOUNCE)
        assert list(refused) == [f"b+forged@{DOMAIN}"]
        with pytest.raises(SMTPRecipientsRefused):
            await smtp.sendmail("", ["x@elsewhere.example"], BOUNCE)
    assert [recipients for _, recipients in running.recorder.kept] == [[OURS]]
