"""Several mail servers: the one that is tried first, and the next after a temporary refusal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import Lane
from imsg_delivery.routes import Switch
from imsg_smtp import mail_server
from imsg_smtp.channel import MailChannel
from imsg_smtp.mail_server import MailServer
from imsg_smtp.main import open_channel
from imsg_smtp.server_address import Timeouts
from imsg_smtp.settings import Smtp
from imsg_testing.jobs import make_job
from imsg_testing.loop_time import pass_time
from imsg_testing.smtp_server import Act, Held, SmtpServer, smtp_server
from imsg_testing.waiting import eventually
from imsg_web import service_client

REQUEST = "0192f0c4a7b17d3e8f00112233445566"


@asynccontextmanager
async def channel_to(
    first: SmtpServer,
    second: SmtpServer,
    **given: Any,  # noqa: ANN401  any setting
) -> AsyncIterator[MailChannel]:
    smtp = Smtp.model_validate(
        {
            "host": first.host,
            "port": first.port,
            "sender": "noreply@example.com",
            "servers": {"second": {"host": second.host, "port": second.port, "weight": 0}},
            **given,
        }
    )
    async with (
        service_client.connect("http://history", (SecretStr("key"),), {}) as history,
        open_channel(smtp, history) as channel,
    ):
        yield channel


async def deliver(channel: MailChannel, count: int = 3, provider: str | None = None) -> list[Result]:
    to = [f"u{n}@example.net" for n in range(count)]
    job = make_job(*to, request=REQUEST, lane=Lane.NORMAL, provider=provider)
    prepared = await channel.prepare(job)
    assert not isinstance(prepared, Again | Blocked | Refused)
    results = await channel.deliver(job, prepared, job.recipients)
    return [results[n] for n in range(count)]


async def test_a_real_server_that_refuses_our_sender_is_replaced_by_the_next() -> None:
    async with (
        smtp_server({"MAIL": "553 Mail from must equal authorized user"}) as first,
        smtp_server() as second,
        channel_to(first, second) as channel,
    ):
        assert {type(result) for result in await deliver(channel)} == {Sent}
        assert len(second.mails) == 3
        assert first.commands.count("MAIL") == 2, "one, and another that was not refused yet"


async def test_a_real_server_that_falls_silent_after_the_dot_is_not_replaced() -> None:
    async with smtp_server({"DOT": Act.RESET}) as first, smtp_server() as second, channel_to(first, second) as channel:
        assert {type(result) for result in await deliver(channel, 1)} == {Unknown}
        assert second.mails == []


@pytest.mark.parametrize("step", ["GREETING", "EHLO"])
async def test_a_silent_server_is_replaced_by_the_next_and_no_mail_waits_for_it_twice(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Timeouts().opening_s <= 25.0
    monkeypatch.setattr(mail_server, "COOL_OFF_S", 3_600.0)
    async with smtp_server({step: Act.HANG}) as first, smtp_server() as second, channel_to(first, second) as channel:
        delivering = asyncio.create_task(deliver(channel, 20))
        await first.wait_seen(step)
        pass_time(Timeouts().opening_s)
        assert {type(result) for result in await delivering} == {Sent}
        assert 1 <= first.commands.count(step) <= 3, "one try, and two looks from beside"
        assert len(second.mails) == 20


def test_the_name_of_the_first_server_is_no_other_ones() -> None:
    with pytest.raises(ValidationError, match="another name"):
        Smtp.model_validate({"host": "a", "sender": "a@example.com", "servers": {"default": {"host": "b"}}})


def test_servers_and_domains_are_read_as_the_environment_gives_them() -> None:
    smtp = Smtp.model_validate(
        {
            "host": "a",
            "sender": "a@example.com",
            "servers": {"b": {"host": "b", "weight": "3", "recipient_domains": "QQ.com, foxmail.com"}},
            "domains": {"qq": {"match": "qq.com", "per_minute": "30"}},
        }
    )
    assert list(smtp.all_servers) == ["default", "b"]
    assert smtp.servers["b"].weight == 3
    with pytest.raises(ValidationError, match="no domain"):
        Smtp.model_validate({"host": "a", "sender": "a@example.com", "recipient_domains": "a b"})


async def test_nothing_gets_through_where_no_server_accepts_anything() -> None:
    replies = {"GREETING": Act.DROP}
    async with smtp_server(replies) as first, smtp_server() as second, channel_to(first, second) as channel:
        await deliver(channel, 5)
        assert channel.find_outage() is None
    async with smtp_server(replies) as first, smtp_server(replies) as second, channel_to(first, second) as channel:
        await deliver(channel, 5)
        outage = channel.find_outage()
        assert outage is not None
        assert outage.scope in (f"{first.host}:{first.port}", f"{second.host}:{second.port}")


async def test_a_server_that_is_switched_off_gets_nothing_and_one_that_is_forced_all_the_same() -> None:
    async with smtp_server() as first, smtp_server() as second, channel_to(first, second) as channel:
        channel.provider_pool.apply({"default": Switch(enabled=False), "second": Switch(enabled=False)})
        (result,) = await deliver(channel, 1)
        assert isinstance(result, Blocked)
        assert (result.code, result.was_called) == ("switched_off", False)
        (result,) = await deliver(channel, 1, provider="second")
        assert isinstance(result, Sent)
        (result,) = await deliver(channel, 1, provider="third")
        assert isinstance(result, Refused)
        assert "there are default, second" in result.detail
        assert (len(first.mails), len(second.mails)) == (0, 1)


async def test_a_mail_whose_server_is_switched_off_while_it_waits_takes_the_next_and_a_forced_one_stays() -> None:
    held: dict[str, Any] = {"MAIL": [Held("250 2.1.0 Ok")]}
    async with smtp_server(held) as first, smtp_server() as second, channel_to(first, second, connections=1) as channel:
        sends = [asyncio.create_task(deliver(channel, 1))]
        await first.wait_seen("MAIL")
        sends += [asyncio.create_task(deliver(channel, 1, provider)) for provider in (None, "default")]
        server = channel._servers["default"]
        assert isinstance(server, MailServer)
        slots = server._connections.slots

        async def both_wait() -> bool:
            return len(slots._waiters or ()) == 2

        await eventually(both_wait)
        channel.provider_pool.apply({"default": Switch(enabled=False)})
        first.release()
        results = [result for send in sends for result in await send]
        assert [(type(result), result.provider) for result in results] == [
            (Sent, "default"),
            (Sent, "second"),
            (Sent, "default"),
        ]
        assert [hop.code for hop in results[1].hops] == ["switched_off"]
        assert (len(first.mails), len(second.mails)) == (2, 1)


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        ({"recipient_domains": "example.net"}, True),
        ({"recipient_domains": "corp.example"}, False),
        ({"sender_domains": "example.com"}, True),
        ({"sender_domains": "news.example.com"}, False),
    ],
)
async def test_a_server_for_a_domain_comes_before_those_for_all_and_gets_nothing_else(
    condition: dict[str, str],
    is_met: bool,  # noqa: FBT001  a table
) -> None:
    async with smtp_server() as first, smtp_server() as second:
        special = {"second": {"host": second.host, "port": second.port, "weight": 0, **condition}}
        async with channel_to(first, second, servers=special) as channel:
            assert {(type(result), result.provider) for result in await deliver(channel)} == {
                (Sent, "second" if is_met else "default")
            }
        assert (len(first.mails), len(second.mails)) == ((0, 3) if is_met else (3, 0))


async def test_mail_that_no_server_is_for_waits_and_names_the_setting() -> None:
    only: dict[str, Any] = {"recipient_domains": "corp.example"}
    async with smtp_server() as first, smtp_server() as second:
        other = {"second": {"host": second.host, "port": second.port, **only}}
        async with channel_to(first, second, servers=other, **only) as channel:
            (result,) = await deliver(channel, 1)
    assert isinstance(result, Blocked)
    assert "IMSG_SMTP__SERVERS" in result.detail
