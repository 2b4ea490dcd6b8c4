"""The access token: fetched by one, used by all, and harmless where Redis is away."""

import asyncio
import time
from collections.abc import Sequence

from pydantic import SecretStr

from imsg_runtime.redis import Redis, connect
from imsg_testing.brokers import is_so
from imsg_testing.http_stub import Act
from imsg_testing.loop_time import pass_time
from imsg_testing.wechat import TOKEN_PATH, Step, WeChatServer, wechat_server
from imsg_wechat import transport
from imsg_wechat.codes import ErrorAnswer
from imsg_wechat.tokens import Credentials, Tokens
from imsg_wechat.transport import CallFailure, Timeouts, Transport

KEY = "imsg:wechat:token:wx1"
PATIENT = Timeouts(connect_s=60, call_s=60)


def tokens(server: WeChatServer, redis: Redis, calls: Transport) -> Tokens:
    return Tokens(Credentials("wx1", SecretStr("s3"), server.url), redis, calls)


def write_tokens(*names: str, expires_in: int = 7_200) -> Sequence[Step]:
    return [{"access_token": name, "expires_in": expires_in} for name in names]


async def test_two_processes_share_one_fetch(redis: Redis) -> None:
    async with wechat_server() as server, transport.connect(PATIENT) as calls:
        both = tokens(server, redis, calls), tokens(server, redis, calls)
        found = await asyncio.gather(*(both[n % 2].get() for n in range(20)))
        assert set(found) == {"TOKEN-0"}
        assert len(server.of(TOKEN_PATH)) == 1
        assert server.of(TOKEN_PATH)[0].json == {
            "grant_type": "client_credential",
            "appid": "wx1",
            "secret": "s3",
            "force_refresh": False,
        }


async def test_it_is_kept_for_its_life_but_the_last_five_minutes(redis: Redis) -> None:
    async with wechat_server() as server, transport.connect(PATIENT) as calls:
        before = time.time()
        await tokens(server, redis, calls).get()
        after = time.time()
        ends_at = await redis.call("PEXPIRETIME", KEY) / 1_000
        assert before - 1 <= ends_at - 6_900 <= after + 1


async def test_a_refused_token_is_renewed_by_one_of_all_who_saw_it_refused(redis: Redis) -> None:
    async with wechat_server() as server, transport.connect(PATIENT) as calls:
        both = tokens(server, redis, calls), tokens(server, redis, calls)
        first = await both[0].get()
        assert isinstance(first, str)
        found = await asyncio.gather(*(both[n % 2].get(stale=first) for n in range(10)))
        assert set(found) == {"TOKEN-1"}
        assert await both[1].get(stale=first) == "TOKEN-1", "who comes late leaves the new one alone"
        assert len(server.of(TOKEN_PATH)) == 2


async def test_a_refused_token_that_is_given_again_is_returned(redis: Redis) -> None:
    async with wechat_server(tokens=write_tokens("same")) as server, transport.connect(PATIENT) as calls:
        made = tokens(server, redis, calls)
        assert await made.get() == "same"
        assert await made.get(stale="same") == "same"
        assert len(server.of(TOKEN_PATH)) == 2


async def test_without_redis_each_fetches_once_for_itself() -> None:
    async with (
        wechat_server() as server,
        transport.connect(PATIENT) as calls,
        connect("redis://127.0.0.1:1/0") as away,
    ):
        made = tokens(server, away, calls)
        found = await asyncio.gather(*(made.get() for _ in range(5)))
        assert set(found) == {"TOKEN-0"}
        assert await made.get(stale="TOKEN-0") == "TOKEN-1"
        assert len(server.of(TOKEN_PATH)) == 2


async def test_a_refusal_is_returned_and_leaves_no_lock_behind(redis: Redis) -> None:
    steps = [{"errcode": 40164, "errmsg": "invalid ip 1.2.3.4, not in whitelist"}, *write_tokens("then")]
    async with wechat_server(tokens=steps) as server, transport.connect(PATIENT) as calls:
        made = tokens(server, redis, calls)
        refused = await made.get()
        assert isinstance(refused, ErrorAnswer)
        assert "whitelist" in refused.detail
        assert await made.get() == "then"


async def test_a_server_that_hangs_is_waited_for_once_by_all(redis: Redis) -> None:
    async with wechat_server(tokens=[Act.HANG]) as server, transport.connect(PATIENT) as calls:
        made = tokens(server, redis, calls)
        asking = [asyncio.create_task(made.get()) for _ in range(20)]
        await is_so(lambda: bool(server.of(TOKEN_PATH)))
        pass_time(PATIENT.call_s)
        found = await asyncio.gather(*asking)
        assert all(isinstance(result, CallFailure) and not result.may_have_it for result in found)
        assert len(server.of(TOKEN_PATH)) == 1
