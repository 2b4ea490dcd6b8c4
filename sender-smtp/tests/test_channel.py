"""The channel as the worker sees it."""

import asyncio
import email
import email.policy
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_contract.results import Blocked, Refused, Sent
from imsg_contract.templates import LIQUID
from imsg_contract.topology import Lane
from imsg_contract.wire import Attachment, Job, Recipient, Reference
from imsg_delivery.template_channel import TemplateChannel
from imsg_rendering.renderer import Renderer
from imsg_smtp.channel import MailChannel, make_terms
from imsg_smtp.main import open_channel
from imsg_smtp.mime import Rendering
from imsg_smtp.settings import Smtp
from imsg_testing.jobs import make_job
from imsg_testing.smtp_server import SmtpServer, smtp_server
from imsg_web import service_client
from imsg_web.callers import KEY_HEADER

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
ACCEPTED_AT = datetime(2026, 11, 25, 0, 30, tzinfo=UTC)


class Kept:
    """History's shelf, by the one route that is used of it."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.status = 200
        self.asked = 0

    def put(self, body: bytes) -> Reference:
        """Store a body."""
        sha256 = hashlib.sha256(body).hexdigest()
        self.bodies[f"/internal/attachments/{REQUEST}/{sha256}"] = body
        return Reference(sha256=sha256, size=len(body))

    def attach(self, filename: str, kind: str, body: bytes) -> Attachment:
        """Store a file."""
        return Attachment(filename=filename, type=kind, **self.put(body).model_dump())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as history does."""
        self.asked += 1
        body = self.bodies.get(Request(scope).url.path)
        is_let_in = Request(scope).headers.get(KEY_HEADER) == "key"
        status = self.status if is_let_in else 403
        answer = Response(body, 404 if body is None else status) if status == 200 else Response(b"", status)
        await answer(scope, receive, send)


def smtp_settings(server: SmtpServer, **given: Any) -> Smtp:  # noqa: ANN401  any setting
    return Smtp(**{"host": server.host, "port": server.port, "sender": "天存 <noreply@example.com>", **given})


@asynccontextmanager
async def channel_to(
    server: SmtpServer,
    history: ASGIApp,
    **given: Any,  # noqa: ANN401
) -> AsyncIterator[MailChannel]:
    async with (
        service_client.connect("http://history", (SecretStr("key"),), {"history": history}) as peer,
        open_channel(smtp_settings(server, **given), peer) as channel,
    ):
        yield channel


def job(**given: Any) -> Job:  # noqa: ANN401
    to = [f"user{n}@example.com" for n in range(3)]
    usual = {
        "request": REQUEST,
        "username": "天存-system-1001",
        "content": {"subject": "会议通知", "text": "下午两点半"},
        "expires_at": ACCEPTED_AT + timedelta(hours=24),
    }
    return make_job(*to, at=ACCEPTED_AT, **(usual | given))


async def prepare(channel: MailChannel, made: Job) -> Rendering:
    result = await channel.prepare(made)
    assert isinstance(result, Rendering), result
    return result


async def test_every_recipient_gets_a_mail_of_his_own() -> None:
    async with smtp_server() as server, channel_to(server, Kept()) as channel:
        made = job()
        results = await channel.deliver(made, await prepare(channel, made), made.recipients)
        assert all(isinstance(result, Sent) for result in results.values())
        assert [received.recipients for received in server.mails] == [(f"user{n}@example.com",) for n in range(3)]
        for n, received in enumerate(server.mails):
            message = email.message_from_bytes(received.data, policy=email.policy.SMTP)
            assert message["To"] == f"user{n}@example.com"
            assert message["Message-ID"] == f"<{REQUEST}-{n}@example.com>"
            assert message["Date"].datetime == ACCEPTED_AT
            assert "Cc" not in message
            assert "Bcc" not in message
            assert received.client == "example.com"
        assert server.commands[:2] == ["GREETING", "EHLO"]


async def test_a_repeat_is_the_same_mail_to_the_byte() -> None:
    async with smtp_server() as server, channel_to(server, Kept()) as channel:
        made = job()
        for attempt in (1, 2):
            again = made.model_copy(update={"attempt": attempt})
            await channel.deliver(again, await prepare(channel, again), made.recipients[:1])
        first, second = server.mails
        assert first.data == second.data


async def test_one_refused_recipient_leaves_the_others_alone() -> None:
    replies = {"RCPT": ["250 2.1.5 Ok", "550 5.1.1 no such user", "250 2.1.5 Ok"]}
    async with smtp_server(replies) as server, channel_to(server, Kept()) as channel:
        made = job()
        results = await channel.deliver(made, await prepare(channel, made), made.recipients)
        assert [type(results[n]) for n in range(3)] == [Sent, Refused, Sent]


async def test_attachments_by_reference_arrive_byte_for_byte() -> None:
    kept = Kept()
    files = {"会议纪要.bin": bytes(range(256)) * 5_000, "hello.md": "# 您好\n".encode()}
    attachments = tuple(kept.attach(name, "application/octet-stream", body) for name, body in files.items())
    async with smtp_server() as server, channel_to(server, kept) as channel:
        made = job(attachments=attachments)
        await channel.deliver(made, await prepare(channel, made), made.recipients[:1])
        message = email.message_from_bytes(server.mails[0].data, policy=email.policy.SMTP)
        assert isinstance(message, email.message.EmailMessage)
        found = {part.get_filename(): part.get_payload(decode=True) for part in message.iter_attachments()}
        assert found == files


async def test_a_content_by_reference_is_fetched() -> None:
    kept = Kept()
    text = "很长的内容。" * 20_000
    at = kept.put(json.dumps({"subject": "长", "text": text}, ensure_ascii=False).encode())
    async with smtp_server() as server, channel_to(server, kept) as channel:
        made = job(content=None, content_at=at)
        await channel.deliver(made, await prepare(channel, made), made.recipients[:1])
        message = email.message_from_bytes(server.mails[0].data, policy=email.policy.SMTP)
        assert message.get_payload(decode=True) == text.encode()


async def test_what_history_has_no_more_fails_the_message_with_the_reason() -> None:
    attachment = Kept().attach("a.txt", "text/plain", b"gone")
    async with smtp_server() as server, channel_to(server, Kept()) as channel:
        result = await channel.prepare(job(attachments=(attachment,)))
        assert isinstance(result, Refused)
        assert result.code == "attachment_gone"
        assert server.sessions == 0


@pytest.mark.parametrize("status", [500, 503, 403])
async def test_history_away_waits_and_uses_up_no_attempt(status: int) -> None:
    kept = Kept()
    attachment = kept.attach("a.txt", "text/plain", b"here")
    kept.status = status
    async with smtp_server() as server, channel_to(server, kept) as channel:
        result = await channel.prepare(job(attachments=(attachment,)))
        assert isinstance(result, Blocked)
        assert result.scope == "history"
        kept.status = 200
        await prepare(channel, job(attachments=(attachment,)))


async def test_a_mail_without_attachments_needs_no_history() -> None:
    kept = Kept()
    async with smtp_server() as server, channel_to(server, kept) as channel:
        await prepare(channel, job())
        assert kept.asked == 0


async def test_parts_of_one_request_share_a_rendering_while_they_are_under_way() -> None:
    kept = Kept()
    attachment = kept.attach("a.bin", "application/zip", bytes(1_000_000))
    async with smtp_server() as server, channel_to(server, kept) as channel:
        parts = [job(attachments=(attachment,), chunk=part) for part in range(4)]
        preparing = [asyncio.create_task(prepare(channel, part)) for part in parts]
        rendered = [await each for each in preparing]
        assert len({id(each.body) for each in rendered}) == 1
        assert kept.asked == 1
        del rendered, preparing
        async with asyncio.timeout(60):
            while kept.asked == 1:
                await asyncio.sleep(0.05)  # loop and thread let go of what they did a moment later
                await prepare(channel, parts[0])
        assert kept.asked == 2


async def test_what_recipients_get_by_a_template_shares_the_attachments() -> None:
    kept = Kept()
    attachment = kept.attach("a.bin", "application/zip", bytes(100_000))
    source = {"subject": "{{ name }}", "text": "{{ name }}您好"}
    content = {"template": "a", "version": 1, "language": "zh", "params": {}, LIQUID: {"zh": source}}
    people = tuple(
        Recipient(n=n, to=f"{n}@example.com", address=f"{n}@example.com", params={"name": f"第 {n} 位"})
        for n in range(3)
    )
    async with smtp_server() as server, channel_to(server, kept) as mails, Renderer() as renderer:
        channel = TemplateChannel(mails, renderer)
        made = job(attachments=(attachment,), content=content, recipients=people)
        prepared = await channel.prepare(made)
        for person in people:  # one after the other, as by one connection
            assert isinstance((await channel.deliver(made, prepared, [person]))[person.n], Sent)
        messages = [email.message_from_bytes(mail.data, policy=email.policy.SMTP) for mail in server.mails]
        assert [message["subject"] for message in messages] == ["第 0 位", "第 1 位", "第 2 位"]
        assert [len(list(message.walk())) for message in messages] == [3, 3, 3]
        assert kept.asked == 1


@pytest.mark.parametrize(
    "content", ["a string", {"text": "x"}, {"subject": 5, "text": "x"}, {"subject": "x", "text": None}, None]
)
async def test_a_content_of_another_shape_fails_the_message_and_breaks_nothing(content: Any) -> None:  # noqa: ANN401
    async with smtp_server() as server, channel_to(server, Kept()) as channel:
        result = await channel.prepare(job(content=content))
        assert isinstance(result, Refused)
        assert result.code == "content"


@pytest.mark.parametrize(
    "address",
    ["", "nobody", "a@b\r\nRCPT TO:<evil@example.com>", "a b@example.com", "<a@example.com>", "a@example.com> SIZE=1"],
)
async def test_what_is_no_address_is_refused_before_it_is_sent_to_the_server(address: str) -> None:
    async with smtp_server() as server, channel_to(server, Kept()) as channel:
        made = job(recipients=(Recipient(n=0, to="x", address=address),))
        results = await channel.deliver(made, await prepare(channel, made), made.recipients)
        assert isinstance(results[0], Refused)
        assert results[0].code == "address"
        assert server.sessions == 0


async def test_many_mails_at_once_keep_to_the_connections_that_are_set() -> None:
    async with smtp_server() as server, channel_to(server, Kept(), connections=2) as channel:
        recipients = tuple(Recipient(n=n, to="x", address=f"user{n}@example.com") for n in range(40))
        made = job(recipients=recipients)
        ready = await prepare(channel, made)
        await asyncio.gather(*(channel.deliver(made, ready, [recipient]) for recipient in recipients))
        assert len({received.recipients for received in server.mails}) == 40
        assert server.sessions <= 2


async def test_the_loop_goes_on_turning_while_a_large_mail_is_rendered() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with smtp_server() as server, channel_to(server, Kept()) as channel:
        turning = asyncio.create_task(turn())
        await prepare(channel, job(content={"subject": "长", "text": "长" * 2_000_000}))
        turning.cancel()
        assert turns > 10


@pytest.mark.parametrize(("connections", "single", "bulk"), [(1, 1, 1), (2, 1, 1), (4, 3, 3), (8, 7, 6), (16, 15, 12)])
def test_a_list_leaves_at_least_a_quarter_of_the_connections_and_single_mails_one(
    connections: int, single: int, bulk: int
) -> None:
    shared = make_terms(connections, "repeat")
    assert shared.concurrency == {Lane.PRIORITY: connections, Lane.NORMAL: single, Lane.BULK: bulk}
    assert shared.chunk_size == 50
    assert shared.call_size == 1
    assert shared.uncertain == "repeat"


async def test_a_send_may_name_who_it_comes_from_and_where_replies_go() -> None:
    given = {
        "senders": {"news": {"address": "新闻 <news@example.org>", "users": "天存-system-1001, li"}},
        "reply_to": {"help": {"address": "帮助 <help@example.com>"}},
    }
    content = {"subject": "会议通知", "text": "x", "sender": "news", "reply_to": "help"}
    async with smtp_server() as server, channel_to(server, Kept(), **given) as channel:
        made = job(content=content)
        await channel.deliver(made, await prepare(channel, made), made.recipients[:1])
        message = email.message_from_bytes(server.mails[0].data, policy=email.policy.SMTP)
        assert server.mails[0].sender == "news@example.org"
        assert message["From"] == "新闻 <news@example.org>"
        assert message["Reply-To"] == "帮助 <help@example.com>"
        assert message["Message-ID"] == f"<{REQUEST}-0@example.org>"


@pytest.mark.parametrize(
    ("names", "username", "code"),
    [
        ({"sender": "nobody"}, "li", "sender"),
        ({"sender": "news"}, "zhang", "sender"),
        ({"reply_to": "nowhere"}, "li", "reply_to"),
    ],
)
async def test_a_user_without_the_sender_is_refused_and_no_mail_is_sent(
    names: dict[str, str], username: str, code: str
) -> None:
    given = {"senders": {"news": {"address": "news@example.org", "users": "li"}}}
    async with smtp_server() as server, channel_to(server, Kept(), **given) as channel:
        result = await channel.prepare(job(content={"subject": "x", "text": "x", **names}, username=username))
        assert isinstance(result, Refused)
        assert result.code == code
        assert server.sessions == 0
