"""`imsg doctor` of the mail's way back: whether bounces have a way to us, and each that is set is open."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from imsg.doctor.bounces import examine
from imsg.findings import Finding
from imsg_smtp.mail_dns import Resolver
from imsg_testing.name_server import Zone, answering

DOMAIN = "bounce.example.com"
ZONE: Zone = {f"{DOMAIN} MX": ["10 mx.example.com."]}
SECRET = {"bounce_secret": "a" * 32}


async def check(given: Mapping[str, Any], zone: Zone = ZONE, *, silent: bool = False) -> dict[str, Finding]:
    """Examine settings of the e-mail channel, with DNS of the test's own; findings by what they are of."""
    async with answering(zone, silent=silent) as server:
        with pytest.MonkeyPatch.context() as patch:
            if not silent:
                for name in ("LOOKUP_S", "TOTAL_S"):
                    patch.setattr(f"imsg_smtp.mail_dns.{name}", 60.0)
            resolver = Resolver("127.0.0.1", server.port)
        return {found.part: found for found in await examine(given, resolver=resolver)}


@asynccontextmanager
async def greeting(words: bytes) -> AsyncIterator[int]:
    """Serve a greeting to each connection; yield the port."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_without_settings_of_bounces_nothing_is_reported() -> None:
    assert await check({}) == {}
    assert await check({"bounce_domain": "none"}) == {}


async def test_a_domain_without_a_bounce_source_is_reported_with_the_three_ways() -> None:
    found = await check({"bounce_domain": DOMAIN})
    assert "nothing takes them in" in found["bounces"].state
    for name in ("IMSG_SMTP__BOUNCE_MAILBOX__HOST", "IMSG_SMTP__BOUNCE_LISTENER__PORT", "IMSG_SMTP__BOUNCE_SECRET"):
        assert name in found["bounces"].remedy


async def test_a_way_in_to_which_no_mail_is_led_is_named() -> None:
    assert "IMSG_SMTP__BOUNCE_DOMAIN" in (await check(SECRET))["bounces"].remedy


async def test_the_senders_own_mailbox_is_a_way_back_without_a_domain(reserved_port: int) -> None:
    mailbox = {"host": "127.0.0.1", "port": reserved_port, "username": "b", "password": "x"}
    found = (await check({"bounce_mailbox": mailbox}))["bounces"]
    assert ("own mailboxes" in found.state, found.remedy) == (True, "")


async def test_a_server_that_refuses_the_tokens_is_named_with_its_mailbox() -> None:
    own = {"host": "smtp.163.com", "bounce_domain": DOMAIN, **SECRET}
    found = (await check(own))["bounces default"]
    assert "IMSG_SMTP__BOUNCE_DOMAIN=none" in found.remedy
    assert "IMSG_SMTP__BOUNCE_MAILBOX__HOST=imap.163.com" in found.remedy
    second = {"bounce_domain": DOMAIN, **SECRET, "servers": {"second": {"host": "smtpdm.aliyun.com"}}}
    found = (await check(second))["bounces second"]
    assert "IMSG_SMTP__SERVERS__SECOND__BOUNCE_DOMAIN=none" in found.remedy


async def test_a_domain_with_a_way_in_is_looked_up() -> None:
    given = {"bounce_domain": DOMAIN, **SECRET}
    found = await check(given)
    assert not any(finding.remedy for finding in found.values())
    assert found["bounces"].state == f"go to {DOMAIN}, and come in pushed"
    assert found[f"MX {DOMAIN}"].state == "mx.example.com"
    assert "MX record" in (await check(given, {}))[f"MX {DOMAIN}"].remedy
    unknown = (await check(given, silent=True))[f"MX {DOMAIN}"]
    assert ("not known" in unknown.state, unknown.remedy) == (True, "")


@pytest.mark.parametrize(
    ("words", "state", "remedy"),
    [
        (f"220 {DOMAIN} ESMTP\r\n".encode(), "answers at", ""),
        (b"220 mx.elsewhere.example ESMTP Postfix\r\n", "something else answers", "IMSG_SMTP__BOUNCE_LISTENER__PORT"),
        (b"SSH-2.0-x\r\n", "something else answers", "IMSG_SMTP__BOUNCE_LISTENER__PORT"),
        (b"", "no word", "IMSG_SMTP__BOUNCE_LISTENER__PORT"),
        (b"421 4.3.2 too many\r\n", "connections are taken", "IMSG_SMTP__BOUNCE_LISTENER__CONNECTIONS"),
    ],
)
async def test_who_listens_for_bounces_is_greeted(words: bytes, state: str, remedy: str) -> None:
    async with greeting(words) as port:
        listener = {"port": port, "host": "127.0.0.1"}
        found = (await check({"bounce_domain": DOMAIN, "bounce_listener": listener}))["bounce listener"]
    assert state in found.state
    assert remedy in found.remedy
    assert bool(found.remedy) == bool(remedy)


async def test_a_free_bounce_port_is_checked(reserved_port: int) -> None:
    async def check_listener(host: str) -> Finding:
        listener = {"port": reserved_port, "host": host}
        return (await check({"bounce_domain": DOMAIN, "bounce_listener": listener}))["bounce listener"]

    free = await check_listener("0.0.0.0")
    assert ("next start" in free.state, free.remedy) == (True, "")
    assert "IMSG_SMTP__BOUNCE_LISTENER__HOST" in (await check_listener("192.0.2.1")).remedy


async def test_a_mailbox_that_can_not_be_opened_is_reported(reserved_port: int) -> None:
    mailbox = {"host": "127.0.0.1", "port": reserved_port, "username": "b", "password": "x"}
    found = await check({"bounce_domain": DOMAIN, "bounce_mailbox": mailbox})
    assert "by mailbox" in found["bounces"].state
    assert "IMSG_SMTP__BOUNCE_MAILBOX__HOST" in found["bounce mailbox default"].remedy
