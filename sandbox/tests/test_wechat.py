"""The sandbox's WeChat: it refuses what the real one refuses, and calls the webhook as the real one does."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from imsg_sandbox import main
from imsg_sandbox.wechat_cipher import Envelope, sign
from imsg_sandbox.wechat_tokens import Quotas, TokenStore
from imsg_testing.waiting import eventually

APPID = "wx2c2769f8efd9abc2"
KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
API = "/sandbox/wechat/api/cgi-bin"


@dataclass
class Webhook:
    """An account's webhook that records its calls, and gives prepared answers."""

    came: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record a call, and answer it."""
        request = Request(scope, receive)
        self.came.append((dict(request.query_params), await request.body()))
        answer = self.answers.pop(0) if self.answers else PlainTextResponse("success")
        await answer(scope, receive, send)


@dataclass
class Side:
    """A user of the sandbox."""

    client: httpx.AsyncClient
    webhook: Webhook
    token: str = ""

    async def call(self, path: str, body: object = None, method: str = "POST", **query: str) -> dict[str, Any]:
        """Call the API."""
        content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        query = {"access_token": self.token, **query}
        answer = await self.client.request(
            method, f"{API}/{path}", params=query, content=None if body is None else content
        )
        told: dict[str, Any] = answer.json()
        return told

    async def code(self, path: str, body: object = None, method: str = "POST", **query: str) -> int:
        """Call the API; return its errcode."""
        return int((await self.call(path, body, method, **query)).get("errcode", 0))

    async def follow(self, **asked: object) -> str:
        """Add a follower; return the openid."""
        openid: str = (await self.client.post("/sandbox/wechat/followers", json=asked)).json()["openid"]
        return openid

    def message(self, openid: str, **more: object) -> dict[str, Any]:
        """Write a template message."""
        return {"touser": openid, "template_id": "TM1", "data": {"thing1": {"value": "明天下雨"}}, **more}


@asynccontextmanager
async def open_sandbox(allowed: Sequence[str] = (), **account: object) -> AsyncIterator[Side]:
    """Open a sandbox that plays one account, its webhook being ours."""
    webhook = Webhook()
    known = {"appid": APPID, "secret": "s3", "token": "spamtest", "template": "TM1", "variable": "thing1", **account}
    settings = main.Settings.model_validate(
        {
            "sandbox": {
                "smtp_port": 0,
                "smtp_host": "127.0.0.1",
                "wechat_hooks": "http://wechat",
                "wechat_receipt_s": 0,
                "wechat_allowed": allowed,
            },
            "wechat": {"accounts": {"main": known}},
        }
    )
    service = main.app(settings, {"wechat": webhook})
    transport = httpx.ASGITransport(service)
    async with service.running(), httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        side = Side(client, webhook)
        asked = {"grant_type": "client_credential", "appid": APPID, "secret": "s3"}
        side.token = (await side.call("stable_token", asked)).get("access_token", "")
        yield side


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    """Open one in plain mode."""
    async with open_sandbox() as made:
        yield made


def test_signatures_and_safe_mode_pass_wechats_vectors() -> None:
    assert sign(["AAAAA", "1714036504", "1514711492"]) == "f464b24fc39322e44b38aa78f5edd27bd1441696"
    assert sign(["AAAAA", "1714037059", "486452656"]) == "899cf89e464efb63f54ddac96b0a0a235f53aa78"
    encrypted = (
        "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM4x6F8PGHQHFVAFmOD2LdJF9FrX"
        "pbUAh0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332jisa+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WGzj"
        "lpKn6NPhRjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ6X8tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIBYYI"
        "1BD1DlD+C0CR8e6OewpusjZ4uBl9FyJvnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE="
    )
    assert sign(["spamtest", "1409735669", "1320562132", encrypted]) == "5d197aaffba7e9b25a30732f161a50dee96bd5fa"
    envelope = Envelope(KEY, APPID)
    assert b"abcdteT" in envelope.open(encrypted)
    assert envelope.open(envelope.seal("您好".encode())) == "您好".encode()
    with pytest.raises(ValueError, match="appid"):
        Envelope(KEY, "wx0").open(encrypted)


def test_tokens_live_and_die_as_wechats_do() -> None:
    clock = SimpleNamespace(now=1_800_000_000.0)
    tokens = TokenStore(Quotas(lambda: clock.now), lambda: clock.now)

    _, first, _ = tokens.issue_stable("a", force=False)
    clock.now += 6_899
    assert tokens.issue_stable("a", force=False)[1] == first
    clock.now += 1
    code, second, life_s = tokens.issue_stable("a", force=False)
    assert (code, second != first, life_s) == (0, True, 7_200)
    assert tokens.check(first) == tokens.check(second) == (0, "a")
    clock.now += 300
    assert tokens.check(first) == (42001, "")

    third = tokens.issue_stable("a", force=True)[1]
    assert tokens.check(second) == (40001, "")
    assert tokens.issue_stable("a", force=True)[1] == third, "within 30 s it is answered without refreshing"
    for _ in range(19):
        clock.now += 31
        assert tokens.issue_stable("a", force=True)[0] == 0
    clock.now += 31
    assert tokens.issue_stable("a", force=True)[0] == 45009

    old = tokens.issue_plain("a")[1]
    new = tokens.issue_plain("a")[1]
    assert tokens.check(old) == tokens.check(new) == (0, "a")
    clock.now += 300
    assert tokens.check(old) == (40001, "")
    assert tokens.check("") == (41001, "")
    assert tokens.check("made-up") == (40001, "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"appid": "wx0"}, 40013),
        ({"secret": "wrong"}, 40125),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"grant_type": "x"}, 40002),
    ],
)
async def test_wrong_credentials_are_refused(side: Side, change: dict[str, str], code: int) -> None:
    asked = {"grant_type": "client_credential", "appid": APPID, "secret": "s3", **change}
    assert await side.code("stable_token", asked) == code
    assert await side.code("token", None, "GET", **asked) == code


async def test_what_a_message_may_not_be(side: Side) -> None:
    openid = await side.follow()
    send = "message/template/send"
    good = side.message(openid)
    assert await side.code(send, good, access_token="") == 41001
    assert await side.code(send, good, access_token="guessed") == 40001
    assert await side.code(send, None, "GET") == 43002
    assert await side.code(send, b"") == 44002
    assert await side.code(send, b"{") == 47001
    assert await side.code(send, side.message("oNobody")) == 40003
    assert await side.code(send, good | {"template_id": "TM9"}) == 40037
    assert await side.code(send, good | {"data": {"thing1": {"value": "一" * 21}}}) == 47003
    assert await side.code(send, good | {"data": {}}) == 47003
    assert await side.code("no/such/call", {}) == 40066
    await side.client.delete(f"/sandbox/wechat/followers/{openid}")
    assert await side.code(send, good) == 43004
    assert await side.code("user/info", None, "GET", openid=openid) == 0


async def test_a_message_arrives_once_and_its_receipt_comes_signed(side: Side) -> None:
    openid = await side.follow()
    side.webhook.came.clear()
    message = side.message(openid, client_msg_id="one")
    first = await side.call("message/template/send", message)
    second = await side.call("message/template/send", message)
    assert first == second
    assert first["msgid"] > 2**53
    (kept,) = (await side.client.get("/sandbox/inbox", params={"method": "wechat"})).json()["messages"]
    assert (kept["to"], kept["text"]) == (openid, "明天下雨")

    async def has_come() -> bool:
        return bool(side.webhook.came)

    await eventually(has_come)
    query, body = side.webhook.came[0]
    assert query["signature"] == sign(["spamtest", query["timestamp"], query["nonce"]])
    assert query["openid"] == openid
    assert b"<Event>TEMPLATESENDJOBFINISH</Event>" in body
    assert f"<MsgID>{first['msgid']}</MsgID><Status>success</Status>".encode() in body


async def test_in_safe_mode_nothing_is_readable_on_the_way() -> None:
    async with open_sandbox(aes_key=KEY) as side:
        openid = await side.follow()
        query, body = side.webhook.came[0]
        assert openid.encode() not in body
        encrypted = body.split(b"<Encrypt>")[1].split(b"</Encrypt>")[0].decode()
        assert query["msg_signature"] == sign(["spamtest", query["timestamp"], query["nonce"], encrypted])
        assert openid.encode() in Envelope(KEY, APPID).open(encrypted)


async def test_what_is_not_answered_comes_three_times(side: Side) -> None:
    side.webhook.answers = [Response(status_code=500), PlainTextResponse("what?"), PlainTextResponse("success")]
    await side.follow()
    assert len(side.webhook.came) == 3
    assert len({query["nonce"] for query, _ in side.webhook.came}) == 3
    assert len({body for _, body in side.webhook.came}) == 1


async def test_an_openid_is_known_again_after_a_restart(side: Side) -> None:
    openid = await side.follow()
    async with open_sandbox() as again:
        assert await again.code("message/template/send", again.message(openid)) == 0
        other = openid[:-1] + ("-" if openid[-1] == "_" else "_")
        assert await again.code("message/template/send", again.message(other)) == 40003


async def test_an_expired_token_is_refused_and_the_next_one_is_another(side: Side) -> None:
    openid = await side.follow()
    await side.client.put("/sandbox/faults", json={"method": "wechat", "fault": "expired_token", "times": 1})
    assert await side.code("message/template/send", side.message(openid)) == 42001
    asked = {"grant_type": "client_credential", "appid": APPID, "secret": "s3"}
    assert (await side.call("stable_token", asked))["access_token"] != side.token


ORDER = {
    "id": "TM2",
    "fields": {"thing1": "${goods}", "const2": "已发货"},
}
NOTICE = {"options": [{"kind": "subscribe", "id": "SUB1", "fields": {"thing1": "${goods}", "time2": "${imsg.time}"}}]}


async def test_values_that_wechat_refuses_are_refused() -> None:
    async with open_sandbox(variable="content", templates={"order": ORDER}) as side:
        openid = await side.follow()
        for value, code in (("明天\n下雨", 47003), ("长" * 601, 47003), ("长" * 600, 0)):
            body = side.message(openid, data={"content": {"value": value}})
            assert await side.code("message/template/send", body) == code, value[:5]
        for state, code in (("已签收", 47003), ("已发货", 0)):
            data = {"thing1": {"value": "茶叶"}, "const2": {"value": state}}
            body = side.message(openid, template_id="TM2", data=data)
            assert await side.code("message/template/send", body) == code, state
        listed = await side.call("template/get_all_private_template", method="GET")
        assert {template["template_id"] for template in listed["template_list"]} == {"TM1", "TM2"}


async def test_a_notice_uses_up_one_grant_and_its_result_is_sent_to_the_webhook() -> None:
    async with open_sandbox(templates={"notice": NOTICE}) as side:
        openid = await side.follow()
        data = {"thing1": {"value": "茶叶"}, "time2": {"value": "2026年11月25日 15:01"}}
        body = {"touser": openid, "template_id": "SUB1", "data": data}
        assert await side.code("message/subscribe/bizsend", body) == 43101
        granted = (await side.client.post(f"/sandbox/wechat/followers/{openid}/grant")).json()
        assert granted["grants"] == {"SUB1": 1}
        assert b"<List><TemplateId>SUB1</TemplateId><SubscribeStatusString>accept<" in side.webhook.came[-1][1]
        told = await side.call("message/subscribe/bizsend", body)
        assert told["errcode"] == 0

        async def is_told() -> bool:
            return b"subscribe_msg_sent_event" in side.webhook.came[-1][1]

        await eventually(is_told)
        assert f"<MsgID>{told['msgid']}</MsgID>".encode() in side.webhook.came[-1][1]
        assert await side.code("message/subscribe/bizsend", body) == 43101, "one grant, one message"
        await side.client.post(f"/sandbox/wechat/followers/{openid}/grant")
        revoked = (await side.client.post(f"/sandbox/wechat/followers/{openid}/revoke")).json()
        assert revoked["grants"] == {"SUB1": 0}
        assert await side.code("message/subscribe/bizsend", {**body, "template_id": "TM1"}) == 40037
        answer = await side.client.get(
            "/sandbox/wechat/api/wxaapi/newtmpl/gettemplate", params={"access_token": side.token}
        )
        assert [template["priTmplId"] for template in answer.json()["data"]] == ["SUB1"]


async def test_a_text_has_600_characters_and_2048_bytes_at_most(side: Side) -> None:
    openid = await side.follow()
    for text, code in (("长" * 601, 45002), ("🙂" * 513, 45002), ("长" * 600, 0)):
        body = {"touser": openid, "msgtype": "text", "text": {"content": text}}
        assert await side.code("message/custom/send", body) == code


async def test_a_code_sends_its_scene_to_the_webhook_until_it_ends(side: Side) -> None:
    asked = {"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "s1"}}, "expire_seconds": 600}
    made = await side.call("qrcode/create", asked)
    assert made["expire_seconds"] == 600
    new = (await side.client.post("/sandbox/wechat/followers", json={"scan": made["url"]})).json()
    assert b"<EventKey>qrscene_s1</EventKey>" in side.webhook.came[-1][1]
    await side.client.post(f"/sandbox/wechat/followers/{new['openid']}/scan", json={"url": made["url"]})
    assert b"<EventKey>s1</EventKey>" in side.webhook.came[-1][1]
    unknown = await side.client.post(f"/sandbox/wechat/followers/{new['openid']}/scan", json={"url": "http://x"})
    assert unknown.status_code == 404
    for wrong in (
        {"action_name": "QR_LIMIT"},
        {"expire_seconds": 0},
        {"action_info": {"scene": {"scene_str": "x" * 65}}},
    ):
        assert await side.code("qrcode/create", {**asked, **wrong}) == 40053


async def test_menus_are_measured_in_bytes(side: Side) -> None:
    button = {"type": "click", "name": "获取我的openID", "key": "k"}
    assert await side.code("menu/get", None, "GET") == 46003
    assert await side.code("menu/create", {"button": [button]}) == 40018
    menu = {"button": [{"name": "我的", "sub_button": [button]}]}
    assert await side.code("menu/create", menu) == 0
    assert (await side.call("menu/get", None, "GET"))["menu"] == menu


async def test_who_is_not_on_the_list_gets_no_token() -> None:
    asked = {"grant_type": "client_credential", "appid": APPID, "secret": "s3"}
    async with open_sandbox(allowed=["10.0.0.0/8"]) as side:
        refused = await side.call("stable_token", asked)
        assert refused["errcode"] == 40164
        assert "127.0.0.1" in refused["errmsg"]


async def test_a_customer_service_message_is_taken_only_after_its_recipient_did_something(side: Side) -> None:
    openid = await side.follow()
    message = {"touser": openid, "msgtype": "text", "text": {"content": "您好"}}
    send = "message/custom/send"
    assert [await side.code(send, message) for _ in range(4)] == [0, 0, 0, 45047]
    await side.client.post(f"/sandbox/wechat/followers/{openid}/say", json={"text": "在吗"})
    assert [await side.code(send, message) for _ in range(6)] == [0, 0, 0, 0, 0, 45047]
    inbox = (await side.client.get("/sandbox/inbox", params={"method": "wechat"})).json()["messages"]
    assert {message["text"] for message in inbox} == {"您好"}
    async with open_sandbox() as again:
        assert await again.code(send, message) == 45015
