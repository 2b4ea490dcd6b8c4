"""Several servers: who gets a mail, and who when that one says not now."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from imsg_contract.topology import Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result, Sent, Unknown
from imsg_delivery.provider_pool import MAX_DOUBTFUL
from imsg_delivery.routes import Facts, Route
from imsg_smtp.channel import MailChannel
from imsg_smtp.main import open_channel
from imsg_smtp.mime import Letter, Mail, render
from imsg_smtp.pool import FindBlock
from imsg_smtp.relays import Relays
from imsg_smtp.senders import Sender
from imsg_smtp.server import Timeouts
from imsg_smtp.settings import Smtp
from imsg_testing.smtp_server import Act, SmtpServer, smtp_server
from imsg_web import service_client

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
SENT, REFUSED = Sent("smtp"), Refused("smtp", "550 5.1.1", "no such user")
AGAIN, UNKNOWN = Again("smtp", "451", "later", 300.0), Unknown("smtp", "timeout", "no answer")
BLOCKED = Blocked("smtp", "a:25", "535", "wrong password", 60.0)


class Told:
    """A server that answers as it is told, the last answer for ever."""

    def __init__(self, *results: Result) -> None:
        self.results = list(results)
        self.seen: list[str] = []
        self.outage: Blocked | None = None

    def find_outage(self) -> Blocked | None:
        """Say why nothing gets through."""
        return self.outage

    async def send(self, mail: Mail, find_block: FindBlock = lambda _: None) -> Result:
        """Answer."""
        del find_block
        self.seen.append(mail.recipient)
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]


def relays_of(*servers: tuple[Route, Told]) -> Relays:
    """Make the way over these servers."""
    return Relays({route.name: told for route, told in servers}, [route for route, _ in servers], lambda: 0.0)


def names(relays: Relays, mail: Mail) -> list[str]:
    """Name the servers in the order that a mail tries them."""
    return [
        provider.name for provider in relays.provider_pool.rank(Facts(mail.message_id, mail.recipient, mail.sender))
    ]


def mail(n: int = 0, sender: str = "noreply@example.com", domain: str = "example.net") -> Mail:
    rendered = render(Letter("x", "x"), Sender("", sender), REQUEST, datetime.now(UTC))
    return rendered.address_to(n, f"user{n}@{domain}")


@pytest.mark.parametrize(("first", "reached"), [(AGAIN, 1), (BLOCKED, 1), (REFUSED, 0), (UNKNOWN, 0), (SENT, 0)])
async def test_the_next_server_gets_what_the_first_could_not_take_now_and_nothing_else(
    first: Result, reached: int
) -> None:
    backup = Told(SENT)
    result = await relays_of((Route("a"), Told(first)), (Route("b", weight=0), backup)).send(mail())
    assert len(backup.seen) == reached
    assert type(result) is (Sent if reached else type(first))
    assert result.provider == ("b" if reached else "a")
    assert [(hop.provider, hop.code) for hop in result.hops] == (
        [("a", first.code)] if isinstance(first, Again | Blocked) else []
    )


async def test_what_one_server_may_have_is_never_given_to_another_at_later_attempts() -> None:
    doubtful, other = Told(UNKNOWN, AGAIN, SENT), Told(SENT)
    relays = relays_of((Route("a"), doubtful), (Route("b", weight=0), other))
    results = [await relays.send(mail()) for _ in range(3)]
    assert [type(result) for result in results] == [Unknown, Again, Sent]
    assert other.seen == []
    assert isinstance(await relays.send(mail(1)), Sent)


async def test_all_noes_are_told_and_the_shortest_wait_is_asked_for() -> None:
    result = await relays_of((Route("a"), Told(BLOCKED)), (Route("b", weight=0), Told(AGAIN))).send(mail())
    assert isinstance(result, Again)
    assert result.after_s == 60
    assert "a: 535 wrong password" in result.detail
    assert "b: 451 later" in result.detail
    assert [(hop.provider, hop.code, hop.detail) for hop in result.hops] == [("a", "535", "wrong password")]


def test_each_message_prefers_one_server_and_all_together_follow_the_weights() -> None:
    relays = relays_of((Route("a", 3), Told(SENT)), (Route("b"), Told(SENT)), (Route("c", 0), Told(SENT)))
    first = Counter(names(relays, mail(n))[0] for n in range(2_000))
    assert first["c"] == 0
    assert 0.70 < first["a"] / 2_000 < 0.80
    assert names(relays, mail(7)) == names(relays, mail(7))
    assert [relays.provider_pool.share(name) for name in "abc"] == [0.75, 0.25, 0.0]


async def test_a_server_for_a_domain_comes_before_those_for_all_and_gets_nothing_else() -> None:
    corp = Route("corp", recipient_domains=frozenset({"corp.example"}))
    market = Route("market", sender_domains=frozenset({"news.example.com"}))
    relays = relays_of((Route("all"), Told(SENT)), (corp, Told(SENT)), (market, Told(SENT)))
    assert names(relays, mail(domain="corp.example")) == ["corp", "all"]
    assert names(relays, mail(sender="a@news.example.com")) == ["market", "all"]
    assert names(relays, mail()) == ["all"]


async def test_mail_that_no_server_is_for_waits_and_is_said_so() -> None:
    only = Route("corp", recipient_domains=frozenset({"corp.example"}))
    result = await relays_of((only, Told(SENT))).send(mail())
    assert isinstance(result, Blocked)
    assert "IMSG_SMTP__SERVERS" in result.detail


async def test_what_is_doubtful_is_remembered_up_to_a_bound() -> None:
    relays = relays_of((Route("a"), Told(UNKNOWN)), (Route("b", weight=0), Told(SENT)))
    one = mail()
    for n in range(MAX_DOUBTFUL + 5):
        await relays.send(Mail(one.sender, one.recipient, f"<{n}@x>", b"", b"", 0))
    assert len(relays.provider_pool._doubtful) == MAX_DOUBTFUL


@asynccontextmanager
async def channel_to(
    first: SmtpServer,
    second: SmtpServer,
    timeouts: Timeouts | None = None,
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
        open_channel(smtp, history, timeouts=timeouts) as channel,
    ):
        yield channel


async def deliver(channel: MailChannel, count: int = 3) -> list[Result]:
    now = datetime.now(UTC)
    job = Job(
        request=REQUEST,
        username="a",
        method="smtp",
        lane=Lane.NORMAL,
        content={"subject": "x", "text": "x"},
        recipients=tuple(Recipient(n=n, to=f"u{n}@example.net", address=f"u{n}@example.net") for n in range(count)),
        accepted_at=now,
        expires_at=now,
    )
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
async def test_a_server_that_says_nothing_gives_way_to_the_next_and_keeps_no_mail_waiting_twice(step: str) -> None:
    assert Timeouts().opening_s <= 25.0
    timeouts = Timeouts(opening_s=1.0)
    async with (
        smtp_server({step: Act.HANG}) as first,
        smtp_server() as second,
        channel_to(first, second, timeouts) as channel,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert {type(result) for result in await deliver(channel, 20)} == {Sent}
        assert loop.time() - began < 10.0
        assert first.commands.count(step) <= 3, "one try, and two looks from beside"
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


def test_nothing_gets_through_where_no_server_takes_anything_and_the_first_that_may_try_says_when() -> None:
    first, second = Told(SENT), Told(SENT)
    relays = relays_of((Route("a"), first), (Route("b", weight=0), second))
    first.outage = BLOCKED
    assert relays.find_outage() is None
    second.outage = replace(BLOCKED, scope="b:25", after_s=5.0)
    assert relays.find_outage() == second.outage
