"""The delivery options of a WeChat message on both databases: which are open, skipped, and never used twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import channel_key
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_delivery.provider_pool import PooledProvider
from imsg_delivery.provider_stats import ProviderStats
from imsg_delivery.routes import Route
from imsg_runtime.redis import Redis
from imsg_testing.databases import on_both_databases
from imsg_testing.http_stub import Act
from imsg_testing.wechat import Step, WeChatServer, wechat_server
from imsg_wechat import replies, transport
from imsg_wechat.allowances import MESSAGE_ACTION, Allowances
from imsg_wechat.api import Api
from imsg_wechat.delivery_options import FAILURES, DeliveryOptions, make_breakers
from imsg_wechat.follower_events import CHANGING, GRANTING, FollowerEvents
from imsg_wechat.migrations import MIGRATIONS
from imsg_wechat.store import Follower
from imsg_wechat.template_check import TemplateBlocks, TemplateCheck, read_wrong
from imsg_wechat.template_settings import MessageTemplate
from imsg_wechat.templates import Notice, Outgoing, TemplateMessage, Templates, Text
from imsg_wechat.tokens import Credentials, Tokens
from imsg_wechat.transport import Timeouts
from imsg_wechat.unconfirmed import UnconfirmedCalls

NOW = 1_000_000.0
SOMEBODY = Follower("main", "oA", "7K3-M9Q-2XF", following=True, since=1)
NOTICE, TEXT, TEMPLATE = Notice("SUB1", {"thing1": "x"}), Text("x"), TemplateMessage("TM1", {"thing1": "x"})
ALL = (NOTICE, TEXT, TEMPLATE)


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Open one database twice, as two replicas do."""
    url = read_url(database_url)
    await asyncio.to_thread(migrate, url, MIGRATIONS)
    async with connect(url, DatabaseOptions("test")) as one, connect(url, DatabaseOptions("test")) as other:
        yield one, other


@asynccontextmanager
async def opened(
    database: Database, redis: Redis, **by_call: Sequence[Step]
) -> AsyncIterator[tuple[DeliveryOptions, WeChatServer]]:
    """Open an account's options to a server that answers so."""
    timeouts = Timeouts(connect_s=60, call_s=60)
    async with wechat_server(**by_call) as server, transport.connect(timeouts) as calls:
        tokens = Tokens(Credentials("wx1", SecretStr("s"), server.url), redis, calls)
        api = Api(tokens, calls, server.url)
        yield (
            DeliveryOptions(
                "main", api, make_breakers("main"), Allowances(database), UnconfirmedCalls(redis), lambda: NOW
            ),
            server,
        )


async def send(options: DeliveryOptions, outgoing: Sequence[Outgoing] = ALL, message: str = "m-0") -> Result:
    return (await options.send(SOMEBODY, outgoing, message)).result


async def write(options: DeliveryOptions, times: int = 5) -> None:
    await options.allowances.open_window("main", "oA", MESSAGE_ACTION, int(NOW) + 100, times)


@on_both_databases
async def test_the_first_way_that_is_open_is_taken_and_used_up(pair: tuple[Database, Database], redis: Redis) -> None:
    async with opened(pair[0], redis) as (options, server):
        await options.allowances.grant("main", "oA", "SUB1")
        await write(options, times=1)
        for n in range(3):
            assert isinstance(await send(options, message=f"m-{n}"), Sent)
        assert server.called == ["subscribe/bizsend", "custom/send", "template/send"]
        closed = await send(options, (NOTICE, TEXT), "m-4")
        assert isinstance(closed, Refused)
        assert closed.code == "no_window"
        assert "no grant left" in closed.detail


async def test_what_wechat_counts_otherwise_is_passed_over_and_forgotten(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    async with opened(pair[0], redis, bizsend=[{"errcode": 43101, "errmsg": "refuse"}]) as (options, server):
        for _ in range(3):
            await options.allowances.grant("main", "oA", "SUB1")
        result = await send(options, (NOTICE, TEMPLATE))
        assert isinstance(result, Sent)
        assert "43101" not in str(result.detail)
        assert "refuse" in str(result.detail), "why the first option was passed over"
        assert await options.allowances.count_grants("main", "oA", "SUB1") == 0
        await send(options, (NOTICE, TEMPLATE), "m-1")
        assert server.called == ["subscribe/bizsend", "template/send", "template/send"]


async def test_a_grant_that_wechat_calls_used_up_refuses_the_message_for_good(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    """A fallback begins its next leg at once then."""
    async with opened(pair[0], redis, bizsend=[{"errcode": 43101, "errmsg": "refuse"}]) as (options, server):
        for _ in range(2):
            await options.allowances.grant("main", "oA", "SUB1")
        used_up, none_left = [await send(options, (NOTICE,), message) for message in ("m-0", "m-1")]
        assert isinstance(used_up, Refused)
        assert isinstance(none_left, Refused)
        assert (used_up.concerns, used_up.code) == ("recipient", "43101")
        assert none_left.code == "not_granted"
        assert server.called == ["subscribe/bizsend"]


async def test_a_way_without_an_answer_is_never_followed_by_another_nor_repeated(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    async with opened(pair[0], redis, bizsend=[Act.RESET]) as (options, server):
        for _ in range(2):
            await options.allowances.grant("main", "oA", "SUB1")
        assert isinstance(await send(options), Unknown)
        again = await send(options)
        assert isinstance(again, Unknown)
        assert again.code == "not_repeated"
        assert server.called == ["subscribe/bizsend"]
        assert await options.allowances.count_grants("main", "oA", "SUB1") == 1, "the first is taken for used"


async def test_what_never_left_gives_the_grant_back(pair: tuple[Database, Database], redis: Redis) -> None:
    async with opened(pair[0], redis, bizsend=[{"errcode": -1, "errmsg": "busy"}, {"errcode": 0, "msgid": 5}]) as (
        options,
        _,
    ):
        await options.allowances.grant("main", "oA", "SUB1")
        assert not isinstance(await send(options), Sent)
        result = await send(options)
        assert isinstance(result, Sent)
        assert result.provider_id == "5"


async def test_a_template_that_the_account_has_not_blocks_itself_alone(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    wrong: Step = {"errcode": 40037, "errmsg": "invalid template_id"}
    answers: Sequence[Step] = [wrong, wrong, {"errcode": 0, "msgid": 5}]
    async with opened(pair[0], redis, send=answers) as (options, server):
        first = await send(options, (TEMPLATE,))
        assert isinstance(first, Blocked)
        assert first.scope == "main/TM1"
        assert isinstance(await send(options, (TEMPLATE,), "m-1"), Blocked)
        assert isinstance(await send(options, (TemplateMessage("TM2", {"thing1": "x"}),), "m-2"), Sent)
        assert isinstance(await send(options, (TEMPLATE,), "m-4"), Blocked)
        assert server.called == ["template/send"] * 3, "nobody asks for the wrong one again"
        await options.allowances.grant("main", "oA", "SUB1")
        assert isinstance(await send(options, (TEMPLATE, NOTICE), "m-3"), Sent), "another option goes"


async def test_wrong_templates_are_known_at_the_start_and_right_ones_again(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    listed = {"template_list": [{"template_id": "TM2", "content": "{{thing1.DATA}}{{time2.DATA}}"}]}
    mended = {"template_list": [{"template_id": "TM1", "content": "{{thing1.DATA}}"}, *listed["template_list"]]}
    known = {
        "TM2": MessageTemplate.model_validate(
            {"options": [{"kind": "template", "id": "TM2", "fields": {"thing3": "x"}}]}
        )
    }
    async with opened(pair[0], redis, get_all_private_template=[{"errcode": -1}, listed, mended]) as (options, _):
        provider = PooledProvider(Route("main"), ProviderStats(time.monotonic))
        blocks = TemplateBlocks("main", options.breakers, provider)
        check = TemplateCheck("main", options.api, Templates.of("TM1", "thing1", known), blocks, redis)
        assert not await check.check()
        assert check.wrong == {}
        assert await check.check()
        assert set(check.wrong) == {"TM1", "TM2"}
        assert "thing3" in check.wrong["TM2"]
        assert (await read_wrong(redis, ["main", "other"]))["main"] == check.wrong
        (told,) = provider.stats.blocks
        assert (told.concerns, told.scope, told.code) == ("template", "main/TM1", "40037")
        assert "has no template TM1" in told.detail, "told before any message met it"
        assert await redis.call("EXISTS", channel_key("wechat")) == 0, "the channel itself goes on"
        blocked = await send(options, (TEMPLATE,))
        assert isinstance(blocked, Blocked)
        assert blocked.code == "40037"
        assert await check.check()
        assert set(check.wrong) == {"TM2"}, "a field that WeChat has not is told, and blocks nobody"
        assert isinstance(await send(options, (TEMPLATE,), "m-1"), Sent)
        assert provider.stats.blocks == []


@on_both_databases
async def test_grants_are_counted_once_each_by_however_many_replicas(pair: tuple[Database, Database]) -> None:
    replicas = [Allowances(replica) for replica in pair]
    await asyncio.gather(*(replicas[n % 2].grant("main", "oA", "SUB1") for n in range(6)))
    used = await asyncio.gather(*(replicas[n % 2].use_grant("main", "oA", "SUB1") for n in range(8)))
    assert sum(used) == 6
    assert not await replicas[0].use_grant("main", "oB", "SUB1")


def message(event: str, **items: str) -> replies.Message:
    body = f"<FromUserName>oA</FromUserName><CreateTime>{int(NOW)}</CreateTime>"
    if not event:
        return replies.parse_message(f"<xml>{body}<MsgType>text</MsgType><Content>hi</Content></xml>".encode())
    listed = "".join(
        f"<List><TemplateId>{name}</TemplateId><SubscribeStatusString>{said}</SubscribeStatusString></List>"
        for name, said in items.items()
    )
    return replies.parse_message(
        f"<xml>{body}<MsgType>event</MsgType><Event>{event}</Event><Some>{listed}</Some></xml>".encode()
    )


async def test_what_followers_do_is_counted_from_wechats_events(pair: tuple[Database, Database]) -> None:
    allowances = Allowances(pair[0])
    events = FollowerEvents(allowances, {"main": 2}, lambda: NOW)
    await events.record("main", message(GRANTING, SUB1="accept", SUB2="reject", SUB3="accept"))
    await events.record("main", message(GRANTING, SUB1="accept"))
    counts = [await allowances.count_grants("main", "oA", name) for name in ("SUB1", "SUB2", "SUB3")]
    assert counts == [2, 0, 1]
    await events.record("main", message(CHANGING, SUB1="reject"))
    assert await allowances.count_grants("main", "oA", "SUB1") == 0
    await events.record("main", message(""))
    await events.record("main", message("CLICK"))
    await events.record("silent", message(""))
    used = [await allowances.use_window("main", "oA", int(NOW)) for _ in range(6)]
    assert used == ["CLICK"] * 3 + [MESSAGE_ACTION] * 2 + [None], "what ends first is used first"
    await events.record("main", message(""))
    assert await allowances.use_window("main", "oA", int(NOW) + 48 * 3_600) is None
    assert await allowances.use_window("silent", "oA", int(NOW)) is None


async def test_an_account_that_fails_several_times_in_a_row_is_left_alone_with_its_reason(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    async with opened(pair[0], redis, send=[Act.RESET] * FAILURES) as (options, server):
        for n in range(FAILURES):
            assert isinstance(await send(options, (TEMPLATE,), f"m-{n}"), Unknown)
        blocked = await send(options, (TEMPLATE,), "m-9")
        assert isinstance(blocked, Blocked)
        assert (blocked.scope, blocked.code, blocked.concerns) == ("main", "circuit_open", "provider")
        assert server.called == ["template/send"] * FAILURES


async def test_an_unlisted_code_is_shown_with_the_whole_answer(pair: tuple[Database, Database], redis: Redis) -> None:
    answer = {"errcode": 61451, "errmsg": "invalid parameter", "hint": "rid-77"}
    async with opened(pair[0], redis, send=[answer]) as (options, _):
        result = await send(options, (TEMPLATE,))
    assert isinstance(result, Again)
    assert result.code == "61451"
    assert "unlisted" in result.detail
    assert "rid-77" in result.detail
