"""The webhook: the calls that it accepts, its answers, and what it does with events."""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest

from imsg_contract.addresses import tag
from imsg_contract.wire import Receipt, Status
from imsg_database import database
from imsg_database.address import read_url
from imsg_database.engines import DatabaseOptions
from imsg_runtime.redis import Redis, connect
from imsg_testing.loop_time import stopped_clock
from imsg_testing.proxy import Proxy
from imsg_web.app import make_app
from imsg_wechat import crypto, replies
from imsg_wechat.bindings import SCENE, Binding
from imsg_wechat.followers import Followers
from imsg_wechat.hooks import HookAccount, HookChecks, make_router
from imsg_wechat.nonces import Nonces
from imsg_wechat.receipts import NotPublished
from imsg_wechat.store import Store
from imsg_wechat.webhook import Webhook
from imsg_wechat.webhook_modes import WebhookModes

TOKEN = "spamtest"
APPID = "wx2c2769f8efd9abc2"
KEY = crypto.decode_key("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
OTHER_KEY = crypto.decode_key("GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba")
OPENID = "oyORnuP8q7ou2gfYjqLzSIWZf0rs"

ENCRYPTED = (
    "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM4x6F8PGHQHFVAFmOD2LdJF9FrXpbUA"
    "h0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332jisa+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WGzjlpKn6NPh"
    "RjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ6X8tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIBYYI1BD1DlD+C0CR"
    "8e6OewpusjZ4uBl9FyJvnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE="
)
"""WeChat's own sample of safe mode: the text `abcdteT`."""


@dataclass
class Side:
    """WeChat's side of the webhook."""

    client: httpx.AsyncClient
    receipts: list[Receipt] = field(default_factory=list)
    failures: int = 0
    replies_recorded: list[tuple[str, replies.Message]] = field(default_factory=list)

    async def publish(self, receipt: Receipt, _: float) -> None:
        """Record a receipt, as the broker does."""
        if self.failures:
            self.failures -= 1
            raise NotPublished("the broker is away")
        self.receipts.append(receipt)

    async def record_reply(self, account: str, message: replies.Message) -> None:
        """Record a reply, as the table of replies does."""
        self.replies_recorded.append((account, message))

    async def scan(self, account: str, scene: str, tag: str) -> Binding | None:
        """Return the binding of the only code, which is of `main`."""
        code = Binding("1", f"{SCENE}1", "main", "张三", "0" * 32, 2**40, tag)
        return code if (account, scene) == (code.account, code.scene) else None

    async def post(
        self,
        fields: Mapping[str, str],
        *,
        account: str = "main",
        safe: bool = False,
        nonce: str = "",
        token: str = TOKEN,
        key: bytes = KEY,
        at: float = 0,
    ) -> httpx.Response:
        """Push a message as WeChat does."""
        body = xml({"ToUserName": "gh_1", "FromUserName": OPENID, "CreateTime": str(int(time.time())), **fields})
        now, nonce = str(int(at or time.time())), nonce or secrets.token_hex(5)
        query = {"signature": crypto.sign(token, now, nonce), "timestamp": now, "nonce": nonce, "openid": OPENID}
        if safe:
            sealed = crypto.encrypt(body, key, APPID, bytes(16))
            query |= {"encrypt_type": "aes", "msg_signature": crypto.sign(token, now, nonce, sealed)}
            body = xml({"ToUserName": "gh_1", "Encrypt": sealed})
        return await self.client.post(f"/hooks/wechat/{account}", params=query, content=body)


def xml(fields: Mapping[str, str]) -> bytes:
    return (
        "<xml>" + "".join(f"<{name}><![CDATA[{text}]]></{name}>" for name, text in fields.items()) + "</xml>"
    ).encode()


def event(kind: str, **more: str) -> dict[str, str]:
    return {"MsgType": "event", "Event": kind, **more}


PRESS = event("CLICK", EventKey="获取我的openID")
FINISHED = event("TEMPLATESENDJOBFINISH", MsgID="9007199254740993", Status="success")


@pytest.fixture
async def side(followers: Followers, redis: Redis) -> AsyncIterator[Side]:
    """Open the webhook."""
    async with open_webhook(followers, redis) as made:
        yield made


@asynccontextmanager
async def open_webhook(followers: Followers, redis: Redis, now: Callable[[], float] = time.time) -> AsyncIterator[Side]:
    """Open the webhook of three accounts: any mode, plain alone, safe alone."""
    app = make_app("test", [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://wechat") as client:
        side = Side(client)
        accounts = {
            "main": HookAccount("main", APPID, TOKEN, KEY, "any"),
            "other": HookAccount("other", APPID, TOKEN, None, "plain"),
            "safe": HookAccount("safe", APPID, TOKEN, KEY, "safe"),
            "changed": HookAccount(
                "changed",
                APPID,
                "new",
                OTHER_KEY,
                "any",
                [
                    HookAccount("changed", APPID, TOKEN, KEY, "any"),
                    HookAccount("changed", APPID, "new", KEY, "any"),
                ],
            ),
        }
        webhook = Webhook(followers, redis, side.publish, side.scan, side.record_reply, now=time.time)
        app.include_router(make_router(accounts, webhook, HookChecks(Nonces(redis), WebhookModes(redis), now)))
        yield side


def content(reply: httpx.Response) -> str:
    read = replies.parse_elements(reply.content)
    assert (read["ToUserName"], read["FromUserName"], read["MsgType"]) == (OPENID, "gh_1", "text")
    return read["Content"]


async def test_wechats_question_is_answered_with_its_echo(side: Side) -> None:
    now, nonce = str(int(time.time())), "1514711492"
    query = {"signature": crypto.sign(TOKEN, now, nonce), "timestamp": now, "nonce": nonce, "echostr": "4375"}
    answer = await side.client.get("/hooks/wechat/main", params=query)
    assert (answer.status_code, answer.text) == (200, "4375")
    forged = await side.client.get("/hooks/wechat/main", params={**query, "nonce": "2"})
    assert forged.status_code == 403
    assert "4375" not in forged.text


async def test_the_button_and_two_texts_answer_with_the_same_tag_each_time(side: Side) -> None:
    told = {content(await side.post(PRESS, nonce=str(n))) for n in range(2)}
    for n, text in enumerate(["openID", "OPENID", " 我的openid "]):
        told.add(content(await side.post({"MsgType": "text", "Content": text, "MsgId": str(n)})))
    (only,) = told
    assert tag(only) == only


async def test_following_is_greeted_with_the_buttons_name(side: Side, followers: Followers) -> None:
    assert "获取我的openID" in content(await side.post(event("subscribe", EventKey="")))
    assert await followers.find_tag("main", OPENID) is not None


async def test_leaving_is_noted_and_the_tag_kept(side: Side, followers: Followers) -> None:
    told = content(await side.post(PRESS))
    assert (await side.post(event("unsubscribe"))).text == "success"
    assert not (await followers.find_by_tags([told]))[told].following
    assert content(await side.post(PRESS, nonce="2")) == told
    assert (await followers.find_by_tags([told]))[told].following


@pytest.mark.parametrize(
    "fields",
    [
        {"MsgType": "text", "Content": "你好", "MsgId": "1"},
        {"MsgType": "image", "PicUrl": "http://x", "MsgId": "2"},
        event("VIEW", EventKey="http://x"),
        event("CLICK", EventKey="another"),
        event("subscribe_msg_sent_event"),
    ],
)
async def test_everything_else_is_taken_in_silence(side: Side, fields: dict[str, str]) -> None:
    answer = await side.post(fields)
    assert (answer.status_code, answer.text) == (200, "success")


async def test_in_safe_mode_the_reply_is_encrypted_and_signed(side: Side) -> None:
    answer = replies.parse_elements((await side.post(PRESS, safe=True)).content)
    signed = (TOKEN, answer["TimeStamp"], answer["Nonce"], answer["Encrypt"])
    assert crypto.is_genuine(answer["MsgSignature"], *signed)
    told = replies.parse_elements(crypto.decrypt(answer["Encrypt"], KEY, APPID))
    assert tag(told["Content"]) is not None


async def test_wechats_own_sample_is_taken_in_its_time_alone(side: Side, followers: Followers, redis: Redis) -> None:
    query = {"timestamp": "1409735669", "nonce": "1320562132", "encrypt_type": "aes"}
    query["msg_signature"] = "5d197aaffba7e9b25a30732f161a50dee96bd5fa"
    sealed = xml({"ToUserName": "gh_10f6c3c3ac5a", "Encrypt": ENCRYPTED})
    async with open_webhook(followers, redis, lambda: 1409735669.0) as then:
        answer = await then.client.post("/hooks/wechat/main", params=query, content=sealed)
    assert (answer.status_code, answer.text) == (200, "success")
    answer = await side.client.post("/hooks/wechat/main", params=query, content=sealed)
    assert (answer.status_code, answer.json()["reason"]) == (403, "stale")


@pytest.mark.parametrize("safe", [False, True])
async def test_what_is_forged_is_refused_and_does_nothing(side: Side, followers: Followers, *, safe: bool) -> None:
    answer = await side.post(event("subscribe"), safe=safe, token="guessed")
    assert answer.status_code == 403
    assert await followers.find_tag("main", OPENID) is None


async def test_a_body_under_another_bodys_signature_is_refused_in_safe_mode(side: Side, followers: Followers) -> None:
    now = str(int(time.time()))
    query = {"signature": crypto.sign(TOKEN, now, "1"), "timestamp": now, "nonce": "1", "encrypt_type": "aes"}
    query["msg_signature"] = crypto.sign(TOKEN, now, "1", ENCRYPTED)
    other = crypto.encrypt(xml(event("subscribe")), KEY, APPID, bytes(16))
    answer = await side.client.post("/hooks/wechat/main", params=query, content=xml({"Encrypt": other}))
    assert answer.status_code == 403
    assert await followers.find_tag("main", OPENID) is None


@pytest.mark.parametrize(("account", "safe"), [("safe", False), ("other", True)])
async def test_an_account_takes_only_its_own_mode(side: Side, account: str, *, safe: bool) -> None:
    assert (await side.post(PRESS, account=account, safe=safe)).status_code == 403
    assert (await side.post(PRESS, account=account, safe=not safe)).status_code == 200


@pytest.mark.parametrize("safe", [False, True])
async def test_a_replaced_token_or_key_is_good_for_a_while(side: Side, *, safe: bool) -> None:
    """WeChat answers by what its console has, so the reply is sealed by the same."""
    for n, (token, key) in enumerate(((TOKEN, KEY), ("new", KEY), ("new", OTHER_KEY))):
        answer = await side.post(PRESS, account="changed", safe=safe, token=token, key=key, nonce=str(n))
        assert answer.status_code == 200, (token, answer.text)
        if safe:
            read = replies.parse_elements(answer.content)
            assert crypto.is_genuine(read["MsgSignature"], token, read["TimeStamp"], read["Nonce"], read["Encrypt"])
            assert replies.parse_elements(crypto.decrypt(read["Encrypt"], key, APPID))["ToUserName"] == OPENID
    assert (await side.post(PRESS, account="changed", safe=safe, token="guessed")).status_code == 403
    now = str(int(time.time()))
    query = {"timestamp": now, "nonce": "1", "echostr": "4375"}
    for token, status in ((TOKEN, 200), ("new", 200), ("guessed", 403)):
        asked = {**query, "signature": crypto.sign(token, now, "1")}
        assert (await side.client.get("/hooks/wechat/changed", params=asked)).status_code == status


async def test_an_unknown_account_is_not_there(side: Side) -> None:
    assert (await side.post(PRESS, account="nobody")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<xml>",
        b"<xml><MsgType>text</MsgType></xml>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><xml><FromUserName>&a;</FromUserName></xml>',
        b"<xml><FromUserName>o</FromUserName><CreateTime>soon</CreateTime><MsgType>text</MsgType></xml>",
    ],
)
async def test_what_is_no_message_is_refused(side: Side, body: bytes) -> None:
    now = str(int(time.time()))
    query = {"signature": crypto.sign(TOKEN, now, "1"), "timestamp": now, "nonce": "1"}
    answer = await side.client.post("/hooks/wechat/main", params=query, content=body)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == 10001


async def test_a_body_beyond_its_limit_is_not_read(side: Side) -> None:
    answer = await side.post({"MsgType": "text", "Content": "x" * 70_000})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("status", "settled", "code"),
    [
        ("success", Status.DELIVERED, None),
        ("failed:user block", Status.FAILED, "user_block"),
        ("failed: user block", Status.FAILED, "user_block"),
        ("failed: system failed", Status.FAILED, "system_failed"),
    ],
)
async def test_a_receipt_goes_to_history(side: Side, status: str, settled: Status, code: str | None) -> None:
    told = content(await side.post(PRESS))
    assert (await side.post(FINISHED | {"Status": status})).text == "success"
    (receipt,) = side.receipts
    assert (receipt.provider, receipt.account) == ("wechat", "main")
    assert (receipt.provider_id, receipt.address) == ("9007199254740993", told)
    assert (receipt.status, receipt.code) == (settled, code)


async def test_a_repeated_receipt_is_passed_on_once(side: Side) -> None:
    await side.post(PRESS)
    at = {"CreateTime": "1700000000"}
    answers = [await side.post(FINISHED | at, nonce=str(n)) for n in range(3)]
    assert {answer.text for answer in answers} == {"success"}
    assert len(side.receipts) == 1


async def test_a_receipt_just_after_a_renewal_is_published_for_both_tags(side: Side, followers: Followers) -> None:
    before = content(await side.post(PRESS))
    renewed = await followers.renew(before, int(time.time()))
    assert renewed is not None
    assert (await side.post(FINISHED)).text == "success"
    assert {(receipt.address, receipt.provider_id) for receipt in side.receipts} == {
        (tag, "9007199254740993") for tag in (before, renewed.tag)
    }


async def test_a_receipt_that_was_not_kept_is_asked_for_again(side: Side) -> None:
    await side.post(PRESS)
    side.failures = 1
    at = {"CreateTime": "1700000000"}
    assert (await side.post(FINISHED | at)).status_code == 503
    assert (await side.post(FINISHED | at, nonce="2")).status_code == 200
    assert len(side.receipts) == 1


async def test_without_redis_all_goes_on(store: Store) -> None:
    async with connect("redis://127.0.0.1:1/0") as away, open_webhook(Followers(store, away, ("main",)), away) as side:
        with stopped_clock():  # nothing is waited for
            told = [content(await side.post(PRESS)) for _ in range(2)]
        assert len(set(told)) == 1


async def test_without_its_database_it_answers_in_time_and_asks_for_patience(redis: Redis) -> None:
    async with database.connect(read_url("postgresql://imsg@127.0.0.1:1/imsg"), DatabaseOptions("test")) as nowhere:
        followers = Followers(Store(nowhere, lambda: "7K3-M9Q-2XF"), redis, ("main",))
        async with open_webhook(followers, redis) as side:
            with stopped_clock():  # nothing is waited for
                assert content(await side.post(PRESS)) == replies.NOT_NOW
                assert content(await side.post(event("subscribe"))) == replies.WELCOME
                assert (await side.post(event("unsubscribe"))).status_code == 503


async def test_leaving_and_coming_back_within_a_second_is_no_repeat(side: Side, followers: Followers) -> None:
    at = {"CreateTime": "1700000000"}
    for n, kind in enumerate(["subscribe", "unsubscribe", "subscribe"]):
        assert (await side.post(event(kind) | at, nonce=str(n))).status_code == 200
    known = await followers.find_tag("main", OPENID)
    assert known is not None
    assert (await followers.find_by_tags([known]))[known].following


async def test_the_very_same_call_again_has_no_second_answer(side: Side) -> None:
    at, now = {"CreateTime": "1700000000"}, time.time()
    assert tag(content(await side.post(PRESS | at, nonce="1", at=now)))
    assert (await side.post(PRESS | at, nonce="1", at=now)).text == "success"


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("aged_s", [310, 86_400, -310])
async def test_what_was_signed_long_ago_is_refused(
    followers: Followers, redis: Redis, aged_s: int, *, safe: bool
) -> None:
    now = time.time()
    async with open_webhook(followers, redis, lambda: now) as side:
        answer = await side.post(event("subscribe"), at=now - aged_s, safe=safe)
        assert (answer.status_code, answer.json()["reason"]) == (403, "stale")
        assert await followers.find_tag("main", OPENID) is None
        answer = await side.post(event("subscribe"), at=now - math.copysign(280, aged_s), safe=safe)
        assert answer.status_code == 200


async def test_another_message_under_an_overheard_signature_is_answered_and_not_carried_out(
    side: Side, followers: Followers
) -> None:
    """In plain mode the signature covers no body: a client that saw one call could unsubscribe people."""
    now = time.time()
    told = content(await side.post(PRESS, nonce="77", at=now))
    answer = await side.post(event("unsubscribe"), nonce="77", at=now)
    assert (answer.status_code, answer.text) == (200, "success")
    assert (await followers.find_by_tags([told]))[told].following
    assert (await side.post(FINISHED, nonce="77", at=now)).text == "success"
    assert side.receipts == []


async def test_a_nonce_is_free_until_its_event_was_accepted(side: Side) -> None:
    await side.post(PRESS)
    side.failures, now = 2, time.time()
    answers = [await side.post(FINISHED, nonce="78", at=now) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 200, 200]
    assert len(side.receipts) == 1


async def test_who_is_not_wechat_takes_no_nonce(side: Side) -> None:
    now = time.time()
    assert (await side.post(PRESS, nonce="79", token="guessed", at=now)).status_code == 403
    assert tag(content(await side.post(PRESS, nonce="79", at=now)))


async def test_a_console_that_sends_plain_is_named_until_it_encrypts(side: Side, redis: Redis) -> None:
    webhook_modes = WebhookModes(redis)
    assert await webhook_modes.find_plain(["main", "other", "safe"]) == []
    assert (await side.post(PRESS, account="safe", token="guessed")).status_code == 403
    assert await webhook_modes.find_plain(["main", "other", "safe"]) == []  # a stranger says nothing of the console
    assert (await side.post(PRESS, account="safe")).status_code == 403
    assert (await side.post(PRESS, account="main")).status_code == 200
    assert (await side.post(PRESS, account="other")).status_code == 200
    assert await webhook_modes.find_plain(["main", "other", "safe"]) == ["main", "safe"]
    assert (await side.post(PRESS, account="safe", safe=True)).status_code == 200
    assert await webhook_modes.find_plain(["main", "other", "safe"]) == ["main"]


@pytest.mark.usefixtures("service_bounds")
async def test_a_redis_that_hangs_delays_no_answer_beyond_the_callers_timeout(store: Store, valkey_url: str) -> None:
    parts = urlsplit(valkey_url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(parts.hostname, parts.port)
    proxy.is_deaf = True
    async with (
        proxy.running(),
        connect(proxy.url(valkey_url)) as hanging,
        open_webhook(Followers(store, hanging, ("main",)), hanging) as side,
    ):
        with stopped_clock() as clock:
            asking = asyncio.create_task(side.post(PRESS))
            assert await clock.run_until(asking) < 5  # what WeChat waits
        assert tag(content(await asking))


async def test_a_scanned_code_is_answered_with_whose_it_is_and_the_tag_to_compare(
    side: Side, followers: Followers
) -> None:
    for kind, key in (("subscribe", f"qrscene_{SCENE}1"), ("SCAN", f"{SCENE}1")):
        told = replies.parse_elements((await side.post(event(kind, EventKey=key, Ticket="t"))).content)["Content"]
        assert "张三" in told
        assert str(await followers.find_tag("main", OPENID)) in told
    over = replies.parse_elements((await side.post(event("SCAN", EventKey=f"{SCENE}2"))).content)["Content"]
    assert over == replies.CODE_OVER
    assert (await side.post(event("SCAN", EventKey="a shop's own code"))).text == "success"


class Unread:
    """A body that must not be read."""

    def __aiter__(self) -> "Unread":
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("it was read")


@pytest.mark.parametrize("signature", ["", "签名", "0" * 39, "0" * 41, "G" * 40, "A" * 40, "é" * 40])
@pytest.mark.parametrize("name", ["signature", "msg_signature"])
async def test_a_call_whose_signature_has_no_form_is_refused_unread(side: Side, name: str, signature: str) -> None:
    query = {"timestamp": str(int(time.time())), "nonce": "1", name: signature}
    if name == "msg_signature":
        query["encrypt_type"] = "aes"
    for account in ("main", "safe"):
        answer = await side.client.post(f"/hooks/wechat/{account}", params=query, content=Unread())
        assert (answer.status_code, answer.json()["reason"]) == (403, "forged")
