"""The service whole: an event makes a tag, a job becomes a message, a receipt reaches history."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from imsg_broker.port import Broker
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.topology import OUTCOME, RECEIPT, job_key, template_limits_key
from imsg_contract.wire import Job, Outcome, Outcomes, Receipt, Status
from imsg_runtime.redis import connect
from imsg_testing.brokers import open_ready
from imsg_testing.jobs import make_job
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually
from imsg_testing.wechat import WeChatServer, wechat_server
from imsg_web.service import Service
from imsg_wechat import crypto, replies
from imsg_wechat.main import app, check_account
from imsg_wechat.settings import Settings, WeChat

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """Yield the URL of a Valkey of this module's own: the names at its broker are the real ones."""
    with Valkey() as valkey:
        yield valkey.url


def service(redis_url: str, server: WeChatServer, folder: Path) -> Service:
    account = {"appid": "wx1", "secret": "s3", "token": "spamtest", "template": "TM1", "endpoint": server.url}
    return app(
        Settings.model_validate(
            {
                "wechat": {"accounts": {"main": account}},
                "history_url": "http://127.0.0.1:1",
                "database_url": f"sqlite:///{folder / 'wechat.db'}",
                "broker_url": redis_url,
                "redis_url": redis_url,
                "service_key": (SecretStr("key"),),
            }
        )
    )


def job(*tags: str) -> Job:
    return make_job(*tags, method="wechat", content="明天下雨")


async def push(made: Service, **fields: str) -> httpx.Response:
    """Push an event as WeChat does."""
    now, nonce = str(int(time.time())), uuid.uuid4().hex
    query = {"signature": crypto.sign("spamtest", now, nonce), "timestamp": now, "nonce": nonce}
    whole = {"ToUserName": "gh_1", "CreateTime": now, "MsgType": "event", **fields}
    body = "<xml>" + "".join(f"<{name}>{text}</{name}>" for name, text in whole.items()) + "</xml>"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://wechat") as client:
        return await client.post("/hooks/wechat/main", params=query, content=body.encode())


async def ask_tag(made: Service, openid: str) -> str:
    answer = await push(made, FromUserName=openid, Event="CLICK", EventKey="获取我的openID")
    return replies.parse_elements(answer.content)["Content"]


async def heard(broker: Broker, made: Job) -> dict[int, Outcome]:
    """Send a job, and listen as history does until all its recipients have settled."""
    settled: dict[int, Outcome] = {}
    async with asyncio.timeout(WITHIN_S), broker.consume(broker.topology.history, 10) as deliveries:
        await broker.publish(made.encode(), broker.topology.new(job_key("wechat", made.lane)))
        async for delivery in deliveries:
            if delivery.key == OUTCOME:
                for outcome in Outcomes.model_validate_json(delivery.body).outcomes:
                    if outcome.request == made.request and outcome.status is not Status.RETRYING:
                        settled[outcome.n] = outcome
            await broker.ack(delivery)
            if len(settled) == len(made.recipients):
                break
    return settled


async def test_a_job_becomes_a_message_and_its_receipt_reaches_history(redis_url: str, tmp_path: Path) -> None:
    async with wechat_server() as server:
        made = service(redis_url, server, tmp_path)
        async with made.running(), open_ready(redis_url) as broker:
            told = await ask_tag(made, "oA")
            outcome = (await heard(broker, job(told)))[0]
            assert (outcome.status, outcome.provider) == (Status.SENT, "wechat")
            assert outcome.provider_id is not None

            event = {"Event": "TEMPLATESENDJOBFINISH", "MsgID": outcome.provider_id, "Status": "success"}
            assert (await push(made, FromUserName="oA", **event)).text == "success"
            async with asyncio.timeout(WITHIN_S), broker.consume(broker.topology.history, 10) as deliveries:
                async for delivery in deliveries:
                    await broker.ack(delivery)
                    if delivery.key == RECEIPT:
                        receipt = Receipt.model_validate_json(delivery.body)
                        break
            joined = (receipt.provider, receipt.provider_id, receipt.address)
            assert joined == (outcome.provider, outcome.provider_id, told)
            assert receipt.status is Status.DELIVERED


async def test_readiness_reports_a_template_that_the_account_lacks(redis_url: str, tmp_path: Path) -> None:
    listed = {"template_list": [{"template_id": "TM2", "content": "{{thing1.DATA}}"}]}
    async with wechat_server(get_all_private_template=[listed]) as server:
        made = service(redis_url, server, tmp_path)
        async with (
            made.running(),
            httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://wechat") as client,
        ):

            async def is_told() -> bool:
                told = (await client.get("/health/ready")).json()
                return "no template TM1" in str(told.get("warnings"))

            await eventually(is_told)
            assert made.unmet() == [], "it takes nothing from readiness"


LISTED = {"template_list": [{"template_id": "TM100", "content": "{{thing1.DATA}}"}]}
NOTICES = {"errcode": 0, "data": [{"priTmplId": "SUB1", "content": "{{thing1.DATA}}"}]}
CALLED_ORDER = {
    "order": {
        "options": [
            {"kind": "subscribe", "id": "SUB1", "fields": {"thing1": "${goods}"}},
            {"kind": "template", "id": "TM100", "fields": {"thing1": "${goods}"}},
        ]
    }
}


@pytest.mark.parametrize(
    ("listed", "noticed", "wrong"),
    [
        (LISTED, NOTICES, ()),
        ({"template_list": []}, NOTICES, ("The log-in works", "no template TM100")),
        (LISTED, {"errcode": 0, "data": []}, ("The log-in works", "no template SUB1")),
        (LISTED, {"errcode": 40164, "errmsg": "invalid ip 1.2.3.4"}, ("40164", "IP whitelist")),
        ({"errcode": 48001, "errmsg": "api unauthorized"}, NOTICES, ("48001",)),
    ],
)
async def test_every_template_of_an_account_is_asked_for_by_its_id(
    listed: dict[str, object], noticed: dict[str, object], wrong: tuple[str, ...]
) -> None:
    """The default one too, which the settings call by a name of their own."""
    async with wechat_server(get_all_private_template=[listed], gettemplate=[noticed]) as server:
        account = {"appid": "wx7", "secret": "s3", "token": "spamtest", "template": "order", "endpoint": server.url}
        settings = WeChat.model_validate({"accounts": {"main": {**account, "templates": CALLED_ORDER}}})
        troubles = await check_account(settings, "main")
    assert len(troubles) == bool(wrong)
    assert [words for words in wrong for trouble in troubles if words not in trouble.en + trouble.remedy_en] == []


async def test_a_check_logs_in_by_the_secret_though_a_good_token_is_shared(redis_url: str) -> None:
    """A token that was fetched before the secret was changed says nothing of the secret."""
    wrong = {"errcode": 40125, "errmsg": "invalid appsecret"}
    async with wechat_server(stable_token=[wrong]) as server, connect(redis_url) as redis:
        await redis.call("SET", "imsg:wechat:token:wx7", "good", "EX", 600)
        account = {"appid": "wx7", "secret": "s3", "token": "spamtest", "template": "TM1", "endpoint": server.url}
        (trouble,) = await check_account(WeChat.model_validate({"accounts": {"main": account}}), "main")
        assert "40125" in trouble.en
        assert await redis.call("GET", "imsg:wechat:token:wx7") == b"good", "senders keep theirs"


async def test_what_redis_did_not_know_the_sender_settles(redis_url: str, tmp_path: Path) -> None:
    async with wechat_server() as server:
        made = service(redis_url, server, tmp_path)
        async with made.running(), open_ready(redis_url) as broker:
            here, gone = await ask_tag(made, "oB"), await ask_tag(made, "oC")
            await push(made, FromUserName="oC", Event="unsubscribe")
            outcomes = await heard(broker, job(here, gone, "7K3-M9Q-2XF"))
            assert [outcomes[n].status for n in range(3)] == [Status.SENT, Status.FAILED, Status.FAILED]
            assert [outcomes[n].code for n in range(3)] == [None, "10014", "10011"]
            assert len(server.sent) == 1


async def test_the_templates_are_published_again_where_redis_lost_them(redis_url: str, tmp_path: Path) -> None:
    async with wechat_server() as server, connect(redis_url) as redis:
        async with service(redis_url, server, tmp_path).running():

            async def is_published() -> bool:
                return bool(await redis.call("HEXISTS", template_limits_key("wechat"), "TM1"))

            await eventually(is_published)
        told = TemplateLimits.model_validate_json(await redis.call("HGET", template_limits_key("wechat"), "TM1"))
        assert told.default
        assert told.variables == {"content": None}
