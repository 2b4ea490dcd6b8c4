"""The WeChat channel keeps the worker's contract: a result for whatever the provider does."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from imsg_channels import METHODS
from imsg_contract.addresses import make_tag
from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient
from imsg_database.address import read_url
from imsg_database.database import connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_delivery.channel import Channel
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.http_stub import CUT, Act
from imsg_testing.jobs import make_job
from imsg_testing.wechat import TOKEN_PATH, Step, WeChatServer, token_of, wechat_server
from imsg_web import service_client
from imsg_wechat import transport
from imsg_wechat.allowances import Allowances
from imsg_wechat.followers import Followers
from imsg_wechat.main import Timeouts, WeChat, open_channel
from imsg_wechat.migrations import MIGRATIONS
from imsg_wechat.store import Store
from imsg_wechat.tokens import Credentials, Tokens

WITHIN_S = 60.0
"""How long a channel may take to answer, whatever its provider does."""

PATIENT = Timeouts(connect_s=60, call_s=60)
SHORT = Timeouts(connect_s=60, call_s=0.3)


@dataclass(frozen=True)
class Case:
    """What the provider does, and the results that are right for it."""

    sends: Sequence[Step]
    expected: tuple[type[Result], ...]
    """The first is right for one message; any of them for many at once."""
    tokens: Sequence[Step] = ()
    timeouts: Timeouts = PATIENT
    is_for_all: bool = False


def write_answer(code: int, text: str = "no rid: 1-2-3") -> Mapping[str, Any]:
    return {"errcode": code, "errmsg": text}


CASES: Mapping[str, Case] = {
    "accepted": Case((), (Sent,)),
    "accepted already": Case([write_answer(45065)], (Sent,)),
    "temporary": Case([write_answer(-1)], (Again, Blocked)),
    "a code nobody knows": Case([write_answer(99999)], (Again,)),
    "permanent": Case([write_answer(40003)], (Refused,)),
    "permanent for the content": Case([write_answer(47003)], (Refused,)),
    "temporary for all": Case([write_answer(45011)], (Blocked,), is_for_all=True),
    "permanent for all": Case([write_answer(48001)], (Blocked,), is_for_all=True),
    "a wrong secret": Case((), (Blocked,), [write_answer(40125)], is_for_all=True),
    "an address not allowed": Case((), (Blocked,), [write_answer(40164)], is_for_all=True),
    "a token refused twice": Case([write_answer(40001)], (Blocked,), is_for_all=True),
    "slow to give a token": Case((), (Again, Blocked), [Act.HANG], SHORT),
    "cut off before it gave a token": Case((), (Again, Blocked), [Act.RESET]),
    "gibberish for a token": Case((), (Again, Blocked), [b"<html>"]),
    "slow": Case([Act.HANG], (Unknown, Blocked), timeouts=SHORT),
    "cut off once it has the message": Case([Act.RESET], (Unknown, Blocked)),
    "cut off in its answer": Case([CUT], (Unknown, Blocked)),
    "a failing server": Case([502], (Unknown, Blocked)),
    "another server": Case([404], (Again, Blocked)),
    "gibberish": Case([b"\x00\xff{"], (Unknown, Blocked)),
    "JSON that is no answer": Case([b"[1]"], (Unknown, Blocked)),
    "JSON without end": Case([b"[" * 100_000], (Unknown, Blocked)),
}


def wechat(server: WeChatServer, **more: Any) -> WeChat:  # noqa: ANN401  any setting's value
    account = {
        "appid": "wx2c2769f8efd9abc2",
        "secret": "a-secret",
        "token": "spamtest",
        "template": "TM00015",
        "endpoint": server.url,
        **more,
    }
    return WeChat.model_validate({"accounts": {"main": account}})


@asynccontextmanager
async def channel_to(
    server: WeChatServer, redis_url: str, folder: Path, timeouts: Timeouts = PATIENT, people: int = 20
) -> AsyncIterator[tuple[Channel[Any], Job]]:
    """Open a channel, and yield it with a job to followers."""
    random = Random(1)  # noqa: S311  no secret
    url = read_url(f"sqlite:///{folder / 'wechat.db'}")
    await asyncio.to_thread(migrate, url, MIGRATIONS)
    async with (
        connect(url, DatabaseOptions("test")) as opened,
        connect_redis(redis_url) as redis,
        service_client.connect("http://history", (SecretStr("key"),), {}) as history,
    ):
        followers = Followers(Store(opened, lambda: make_tag(random)), redis, ("main",))
        tags = [await followers.follow("main", f"o{n:027}", 1) for n in range(people)]
        if timeouts is SHORT and not server.tokens:
            await fetch_token(server, redis)
        async with open_channel(
            wechat(server), redis, followers, Allowances(opened), history, timeouts=timeouts
        ) as channel:
            yield channel, job(tags)


async def fetch_token(server: WeChatServer, redis: Redis) -> None:
    """Fetch the token beforehand, so that the short time of a call is that of the send alone."""
    async with transport.connect(PATIENT) as calls:
        credentials = Credentials("wx2c2769f8efd9abc2", SecretStr("a-secret"), server.url)
        assert isinstance(await Tokens(credentials, redis, calls).get(), str)


def job(tags: Sequence[str], content: str | dict[str, Any] = "明天下雨", account: str | None = None) -> Job:
    request = "0192f0c4a7b17d3e8f00112233445566"
    return make_job(*tags, request=request, method="wechat", account=account, lane=Lane.NORMAL, content=content)


async def deliver(channel: Channel[Any], made: Job, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
    async with asyncio.timeout(WITHIN_S):
        prepared = await channel.prepare(made)
        assert not isinstance(prepared, get_args(Result))
        return await channel.deliver(made, prepared, recipients)


@pytest.mark.parametrize("name", CASES)
async def test_whatever_the_provider_does_to_one_message_has_its_result(
    name: str, redis_url: str, tmp_path: Path
) -> None:
    case = CASES[name]
    async with (
        wechat_server(case.sends, case.tokens) as server,
        channel_to(server, redis_url, tmp_path, case.timeouts, 1) as (channel, made),
    ):
        results = await deliver(channel, made, made.recipients)
        assert set(results) == {0}
        assert isinstance(results[0], case.expected[0]), results[0]
        assert results[0].provider == "wechat"
        kept = json.dumps([getattr(results[0], field, None) for field in ("code", "detail", "provider_id", "scope")])
        assert "\\u0000" not in kept
        assert "TOKEN-" not in kept
        assert "a-secret" not in kept


@pytest.mark.parametrize("name", CASES)
async def test_whatever_the_provider_does_to_many_at_once_each_has_its_result(
    name: str, redis_url: str, tmp_path: Path
) -> None:
    case = CASES[name]
    async with (
        wechat_server(case.sends, case.tokens) as server,
        channel_to(server, redis_url, tmp_path, case.timeouts) as (channel, made),
    ):
        answers = await asyncio.gather(*(deliver(channel, made, [recipient]) for recipient in made.recipients))
        results = {n: result for answer in answers for n, result in answer.items()}
        assert set(results) == set(range(20))
        assert {type(result) for result in results.values()} <= set(case.expected)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.is_for_all])
async def test_a_provider_that_recovers_is_used_again(name: str, redis_url: str, tmp_path: Path) -> None:
    case = CASES[name]
    well: Step = {"errcode": 0, "errmsg": "ok", "msgid": 1}
    token: Step = {"access_token": "again", "expires_in": 7200}
    async with (
        wechat_server([*case.sends, well], [*case.tokens, token]) as server,
        channel_to(server, redis_url, tmp_path, case.timeouts, 2) as (channel, made),
    ):
        first = await deliver(channel, made, made.recipients[:1])
        assert isinstance(first[0], case.expected[0])
        results = await deliver(channel, made, made.recipients[1:])
        while case.timeouts is SHORT and not isinstance(results[1], Sent | Blocked):
            results = await deliver(channel, made, made.recipients[1:])  # the machine stood still during the short call
        assert isinstance(results[1], Sent), results[1]


async def test_a_server_that_is_not_there_is_tried_again(redis_url: str, tmp_path: Path) -> None:
    async with wechat_server() as server:
        pass
    async with channel_to(server, redis_url, tmp_path, people=1) as (channel, made):
        results = await deliver(channel, made, made.recipients)
        assert isinstance(results[0], Again)
        assert results[0].code == "unreachable"


async def test_what_is_refused_for_all_is_asked_for_two_messages_alone(redis_url: str, tmp_path: Path) -> None:
    async with (
        wechat_server([write_answer(48001)] * 9) as server,
        channel_to(server, redis_url, tmp_path) as (channel, made),
    ):
        for recipient in made.recipients:
            results = await deliver(channel, made, [recipient])
            assert isinstance(results[recipient.n], Blocked)
        assert len(server.sent) == 2


async def test_a_message_goes_out_as_wechat_wants_it(redis_url: str, tmp_path: Path) -> None:
    async with wechat_server() as server, channel_to(server, redis_url, tmp_path, people=1) as (channel, made):
        results = await deliver(channel, made, made.recipients)
        (request,) = server.sent
        assert "明天下雨".encode() in request.body, "Chinese goes out unescaped"
        assert token_of(request) == "TOKEN-0"
        assert request.json == {
            "touser": f"o{0:027}",
            "template_id": "TM00015",
            "data": {"content": {"value": "明天下雨"}},
            "client_msg_id": f"{made.request}-0",
        }
        assert results[0] == Sent("wechat", "9007199254740993")


@pytest.mark.parametrize("code", [40001, 40014, 42001])
async def test_a_stale_token_is_renewed_once_and_for_all(code: int, redis_url: str, tmp_path: Path) -> None:
    well: Step = {"errcode": 0, "errmsg": "ok", "msgid": 1}
    async with (
        wechat_server([write_answer(code), well]) as server,
        channel_to(server, redis_url, tmp_path, people=2) as (channel, made),
    ):
        results = await deliver(channel, made, made.recipients)
        assert {type(result) for result in results.values()} == {Sent}
        assert [token_of(request) for request in server.sent] == ["TOKEN-0", "TOKEN-1", "TOKEN-1"]
        assert len(server.of(TOKEN_PATH)) == 2
        assert not any(request.json["force_refresh"] for request in server.of(TOKEN_PATH))


async def test_many_at_once_fetch_one_token(redis_url: str, tmp_path: Path) -> None:
    async with wechat_server() as server, channel_to(server, redis_url, tmp_path) as (channel, made):
        await asyncio.gather(*(deliver(channel, made, [recipient]) for recipient in made.recipients))
        assert len(server.of(TOKEN_PATH)) == 1


async def test_who_does_not_follow_any_more_is_remembered(redis_url: str, tmp_path: Path) -> None:
    async with (
        wechat_server([write_answer(43004)]) as server,
        channel_to(server, redis_url, tmp_path, people=1) as (channel, made),
    ):
        first = await deliver(channel, made, made.recipients)
        assert isinstance(first[0], Refused)
        assert first[0].code == "43004"
        second = await deliver(channel, made, made.recipients)
        assert isinstance(second[0], Refused)
        assert second[0].code == "10014"
        assert len(server.sent) == 1


@pytest.mark.parametrize(
    ("tag", "account", "code"), [("7K3-M9Q-2XF", None, "10011"), (None, "other", "10011"), (None, "main", None)]
)
async def test_an_unknown_tag_and_another_accounts_are_refused(
    tag: str | None, account: str | None, code: str | None, redis_url: str, tmp_path: Path
) -> None:
    async with wechat_server() as server, channel_to(server, redis_url, tmp_path, people=1) as (channel, made):
        asked = job([tag or made.recipients[0].address], account=account)
        results = await deliver(channel, asked, asked.recipients)
        assert getattr(results[0], "code", None) == code


async def test_its_terms_give_both_lanes_a_share_and_end_repeats_in_time(redis_url: str, tmp_path: Path) -> None:
    async with wechat_server() as server, channel_to(server, redis_url, tmp_path, people=1) as (channel, _):
        assert channel.method in METHODS
        assert set(channel.terms.concurrency) == set(Lane) - {Lane.TEST}
        assert min(channel.terms.concurrency.values()) >= 1
        assert channel.terms.chunk_size >= channel.terms.call_size >= 1
        assert (channel.terms.uncertain, channel.terms.repeat_for_s) == ("repeat", 540)
