"""Several servers: who gets a mail, and who when that one says not now."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from imsg_contract.topology import Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result, Sent, Unknown
from imsg_runtime import service_client
from imsg_smtp.channel import MailChannel
from imsg_smtp.main import open_channel
from imsg_smtp.mime import Letter, Mail, render
from imsg_smtp.relays import MAX_DOUBTFUL, Relays, Route
from imsg_smtp.senders import Sender
from imsg_smtp.settings import Smtp
from imsg_testing.smtp_server import Act, SmtpServer, smtp_server

REQUEST = "0192f0c4a7b17d3e8f00112233445566"
SENT, REFUSED = Sent("smtp"), Refused("smtp", "550 5.1.1", "no such user")
AGAIN, UNKNOWN = Again("smtp", "451", "later", 300.0), Unknown("smtp", "timeout", "no answer")
BLOCKED = Blocked("smtp", "a:25", "535", "wrong password", 60.0)


class Told:
    """A server that answers as it is told, the last answer for ever."""

    def __init__(self, *results: Result) -> None:
        self.results = list(results)
        self.seen: list[str] = []

    async def send(self, mail: Mail) -> Result:
        """Answer."""
        self.seen.append(mail.recipient)
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]


def mail(n: int = 0, sender: str = "noreply@example.com", domain: str = "example.net") -> Mail:
    rendered = render(Letter("x", "x"), Sender("", sender), REQUEST, datetime.now(UTC))
    return rendered.address_to(n, f"user{n}@{domain}")


@pytest.mark.parametrize(("first", "reached"), [(AGAIN, 1), (BLOCKED, 1), (REFUSED, 0), (UNKNOWN, 0), (SENT, 0)])
async def test_the_next_server_gets_what_the_first_could_not_take_now_and_nothing_else(
    first: Result, reached: int
) -> None:
    backup = Told(SENT)
    result = await Relays([Route("a", Told(first)), Route("b", backup, weight=0)]).send(mail())
    assert len(backup.seen) == reached
    assert result == (SENT if reached else first)


async def test_what_one_server_may_have_is_never_given_to_another_at_later_attempts() -> None:
    doubtful, other = Told(UNKNOWN, AGAIN, SENT), Told(SENT)
    relays = Relays([Route("a", doubtful), Route("b", other, weight=0)])
    results = [await relays.send(mail()) for _ in range(3)]
    assert [type(result) for result in results] == [Unknown, Again, Sent]
    assert other.seen == []
    assert await relays.send(mail(1)) == SENT


async def test_all_noes_are_told_and_the_shortest_wait_is_asked_for() -> None:
    result = await Relays([Route("a", Told(BLOCKED)), Route("b", Told(AGAIN), weight=0)]).send(mail())
    assert isinstance(result, Again)
    assert result.after_s == 60
    assert "a: 535 wrong password" in result.detail
    assert "b: 451 later" in result.detail


def test_each_message_prefers_one_server_and_all_together_follow_the_weights() -> None:
    relays = Relays([Route("a", Told(SENT), 3), Route("b", Told(SENT), 1), Route("c", Told(SENT), 0)])
    first = Counter(relays.rank(mail(n))[0].name for n in range(2_000))
    assert first["c"] == 0
    assert 0.70 < first["a"] / 2_000 < 0.80
    assert [route.name for route in relays.rank(mail(7))] == [route.name for route in relays.rank(mail(7))]


async def test_a_server_for_a_domain_comes_before_those_for_all_and_gets_nothing_else() -> None:
    corp = Route("corp", Told(SENT), recipient_domains=frozenset({"corp.example"}))
    market = Route("market", Told(SENT), sender_domains=frozenset({"news.example.com"}))
    relays = Relays([Route("all", Told(SENT)), corp, market])
    assert [route.name for route in relays.rank(mail(domain="corp.example"))] == ["corp", "all"]
    assert [route.name for route in relays.rank(mail(sender="a@news.example.com"))] == ["market", "all"]
    assert [route.name for route in relays.rank(mail())] == ["all"]


async def test_mail_that_no_server_is_for_waits_and_is_said_so() -> None:
    only = Route("corp", Told(SENT), recipient_domains=frozenset({"corp.example"}))
    result = await Relays([only]).send(mail())
    assert isinstance(result, Blocked)
    assert "IMSG_SMTP__SERVERS" in result.detail


async def test_what_is_doubtful_is_remembered_up_to_a_bound() -> None:
    relays = Relays([Route("a", Told(UNKNOWN)), Route("b", Told(SENT), weight=0)])
    one = mail()
    for n in range(MAX_DOUBTFUL + 5):
        relays._note(Mail(one.sender, one.recipient, f"<{n}@x>", b"", b"", 0), "a", UNKNOWN)
    assert len(relays._doubtful) == MAX_DOUBTFUL


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
        assert first.commands.count("MAIL") == 1


async def test_a_real_server_that_falls_silent_after_the_dot_is_not_replaced() -> None:
    async with smtp_server({"DOT": Act.RESET}) as first, smtp_server() as second, channel_to(first, second) as channel:
        assert {type(result) for result in await deliver(channel, 1)} == {Unknown}
        assert second.mails == []


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
