"""By which envelope a mail goes where its bounces are to find it, and what is asked of the server then."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from imsg_contract.results import Blocked, Result
from imsg_contract.topology import Lane
from imsg_smtp.bounces.bounce_token import derive_keys, read_signed_name, read_token, sign_name
from imsg_smtp.channel import MailChannel
from imsg_smtp.dkim import DomainSigners, Signer, make_key, parse_head
from imsg_smtp.main import open_channel
from imsg_smtp.mime import MailContent, Rendering, render
from imsg_smtp.senders import Sender
from imsg_smtp.settings import Smtp
from imsg_testing.jobs import make_job
from imsg_testing.smtp_server import EXTENSIONS, SmtpServer, smtp_server
from imsg_web import service_client

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
KEY = derive_keys([SecretStr("a" * 32)])[0]
SIGNATURE = "dkim-signature"
WITH_DSN = (*EXTENSIONS, "DSN")


@asynccontextmanager
async def channel_of(server: SmtpServer, **given: Any) -> AsyncIterator[MailChannel]:  # noqa: ANN401  any setting
    smtp = Smtp(**{"host": server.host, "port": server.port, "sender": "noreply@example.com", **given})
    async with (
        service_client.connect("http://127.0.0.1:1", (SecretStr("key"),), {}) as nobody,
        open_channel(smtp, nobody, token_key=KEY) as channel,
    ):
        yield channel


async def send(channel: MailChannel, *addresses: str) -> Sequence[Result]:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    job = make_job(*addresses, at=at, request=REQUEST, lane=Lane.BULK, content={"subject": "s", "text": "t"})
    prepared = await channel.prepare(job)
    assert isinstance(prepared, Rendering)
    results = await channel.deliver(job, prepared, job.recipients)
    return [results[n] for n in sorted(results)]


async def test_each_mail_has_an_envelope_sender_that_names_it_and_is_asked_about() -> None:
    async with smtp_server(extensions=WITH_DSN) as server, channel_of(server, bounce_domain="b.example.com") as channel:
        await send(channel, "a@example.net", "b+c=d@example.net")

    for n, received in enumerate(server.mails):
        local_part, _, domain = received.sender.partition("@")
        assert (read_token(KEY, local_part), domain) == ((REQUEST, n), "b.example.com")
        assert received.options.endswith(f"RET=HDRS ENVID={local_part.removeprefix('b+')}")
        assert b"From: noreply@example.com\r\n" in received.data
    assert [(received.recipients, received.recipient_options) for received in server.mails] == [
        (("a@example.net",), "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@example.net"),
        (("b+c=d@example.net",), "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bc+3Dd@example.net"),
    ]


async def test_a_repeat_has_the_same_envelope() -> None:
    async with smtp_server() as server, channel_of(server, bounce_domain="b.example.com") as channel:
        for _ in range(2):
            await send(channel, "a@example.net")

    assert server.mails[0].sender == server.mails[1].sender


async def test_a_server_that_offers_no_reports_is_asked_for_none() -> None:
    async with smtp_server() as server, channel_of(server, bounce_domain="b.example.com") as channel:
        await send(channel, "a@example.net")

    assert server.mails[0].sender.endswith("@b.example.com")
    assert re.fullmatch(r"SIZE=\d+", server.mails[0].options)
    assert server.mails[0].recipient_options == ""


async def test_an_address_beyond_ascii_goes_without_its_original() -> None:
    async with smtp_server(extensions=WITH_DSN) as server, channel_of(server, bounce_domain="b.example.com") as channel:
        await send(channel, "用户@example.net")

    assert server.mails[0].recipients == ("用户@example.net",)
    assert server.mails[0].recipient_options == "NOTIFY=SUCCESS,FAILURE"


@pytest.mark.parametrize("given", [{}, {"bounce_domain": "none"}])
async def test_where_no_domain_is_set_the_sender_is_the_envelopes_too(given: dict[str, str]) -> None:
    async with smtp_server(extensions=WITH_DSN) as server, channel_of(server, **given) as channel:
        await send(channel, "a@example.net")

    assert server.mails[0].sender == "noreply@example.com"
    assert re.fullmatch(r"SIZE=\d+", server.mails[0].options)
    assert server.mails[0].recipient_options == ""


@pytest.mark.parametrize("given", [{}, {"bounce_domain": "none"}, {"bounce_domain": "b.example.com"}])
async def test_each_mail_bears_its_signed_name_whatever_its_envelope(given: dict[str, str]) -> None:
    async with smtp_server() as server, channel_of(server, **given) as channel:
        await send(channel, "a@example.net", "b@example.net")

    for n, received in enumerate(server.mails):
        message = message_from_bytes(received.data)
        assert read_signed_name([KEY], message["X-IMSG-Id"]) == (REQUEST, n)
        assert message["Message-ID"] == f"<{message['X-IMSG-Id']}@example.com>"


async def test_a_mail_without_a_key_bears_no_signature() -> None:
    mail = render(MailContent("s", "t"), Sender("", "a@example.com"), REQUEST, datetime(2026, 11, 25, tzinfo=UTC))
    head = mail.make_mail(3, "b@example.net").head.decode()

    assert f"Message-ID: <{REQUEST}-3@example.com>" in head
    assert "X-IMSG-Id" not in head


def test_dkim_signs_the_signed_name() -> None:
    signer = Signer("example.com", "s", make_key("ed25519"))
    at = datetime(2026, 11, 25, tzinfo=UTC)
    signing, sender = DomainSigners([signer]), Sender("", "a@example.com")
    made = render(MailContent("s", "t"), sender, REQUEST, at, signing, sign_name=partial(sign_name, KEY))

    (signed,) = [value for name, value in parse_head(made.make_mail(0, "b@example.net").head) if name == SIGNATURE]
    assert {"x-imsg-id", "message-id"} <= set(signed.partition("h=")[2].partition(";")[0].split(":"))


async def test_a_no_to_the_sender_holds_all_of_its_mail_whatever_its_envelope() -> None:
    replies = {"RCPT": "553 mail from must equal authorized user"}
    async with smtp_server(replies) as server, channel_of(server, bounce_domain="b.example.com") as channel:
        results = await send(channel, "a@example.net", "c@example.net", "d@example.net")

    assert all(isinstance(result, Blocked) and result.scope.endswith("from noreply@example.com") for result in results)
    assert server.commands.count("RCPT") == 2


def test_a_server_has_the_domain_of_all_but_where_it_has_its_own_or_none() -> None:
    smtp = Smtp.model_validate(
        {
            "host": "a.example.com",
            "sender": "noreply@example.com",
            "bounce_domain": "b.example.com",
            "servers": {
                "own": {"host": "o.example.com", "bounce_domain": "o.example.com"},
                "qq": {"host": "q.example.com", "bounce_domain": "none"},
                "plain": {"host": "p.example.com"},
            },
        }
    )

    domains = {name: smtp.bounce_domain_of(name) for name in smtp.all_servers}
    assert domains == {"default": "b.example.com", "own": "o.example.com", "qq": None, "plain": "b.example.com"}


@pytest.mark.parametrize(
    "given",
    [
        {"bounce_domain": "localhost"},
        {"bounce_domain": "b@example.com"},
        {"bounce_secret": ["short"]},
        {"bounce_secret": ["whsec_c2hvcnQ="]},
        {"bounce_secret": ["whsec_§"]},
        {"bounce_secret": ["a secret with blanks in it, and long"]},
    ],
)
def test_a_domain_or_secret_that_can_be_none_stops_the_start(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"^1 validation error for Smtp\nbounce_"):
        Smtp.model_validate({"host": "a.example.com", "sender": "noreply@example.com", **given})
