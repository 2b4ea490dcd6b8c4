"""The descriptions that come with iMSG, each called against a stub that answers like the provider's documents."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from pydantic import ValidationError

from imsg_contract.results import Again, Blocked, Refused, Result, Sent
from imsg_contract.route_limits import TemplateLimits
from imsg_sms.http_settings import ComputedValue, Http
from imsg_sms.providers import HookRequest, NotSigned, ProviderReply
from imsg_sms.providers.calls import open_pool
from imsg_sms.providers.http import HttpProvider
from imsg_sms.providers.http_filling import compute
from imsg_sms.templates import Message, TemplateBook
from imsg_testing.http_stub import Asked, HttpStub, reply
from imsg_web.http_pool import NoAnswer

ZHANG, LI = "+8613800138000", "+8613800138001"
WORDS = Message("", {}, "【天存】您的验证码为4370", is_free_text=True)
SECRETS = {
    "chuanglan": {"account": "N1", "password": "p&w"},
    "luosimao": {"key": "k"},
    "smsbao": {"user": "zhang", "password": "secret"},
    "yunpian": {"key": "k"},
    "mas": {"ec_name": "天存", "ap_id": "app", "secret_key": "s", "sign": "sig"},
}


class StandIn:
    """A provider that answers with `says` and records its calls."""

    def __init__(self) -> None:
        self.says: Any = {}
        self.stub = HttpStub(lambda _: self.says if isinstance(self.says, bytes) else reply(self.says))

    @property
    def asked(self) -> Asked:
        """The last call."""
        return self.stub.asked[-1]


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    """Open a provider."""
    stand_in = StandIn()
    async with stand_in.stub.running():
        yield stand_in


def describe(name: str, **more: Any) -> Http:  # noqa: ANN401
    """Return the settings of a description."""
    return Http.model_validate({"use": name, "secrets": SECRETS[name], **more})


async def send(stand_in: StandIn, described: Http, *numbers: str, message: Message = WORDS) -> ProviderReply:
    """Send by a description, at the stand-in's address."""
    there = described.url.partition("://")[2].partition("/")[2]
    moved = described.model_copy(update={"url": f"{stand_in.stub.url}/{there}"})
    async with open_pool(60.0) as pool:
        provider = HttpProvider("http", moved, pool, TemplateBook("", {}, {}), lambda: 1735704000.0)
        return await provider.send(message, numbers, "r/0")


@pytest.mark.parametrize("name", SECRETS)
def test_a_description_lists_the_settings_it_needs(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} needs"):
        Http.model_validate({"use": name})


def test_a_missing_description_is_reported() -> None:
    with pytest.raises(ValidationError, match="there are chuanglan, luosimao, mas, smsbao, yunpian"):
        Http.model_validate({"use": "nobody"})


async def test_chuanglan_is_called_as_its_document_demands(stand_in: StandIn) -> None:
    stand_in.says = {"code": "0", "msgId": "17041010383624511", "time": "20170410103836", "errorMsg": ""}
    answer = await send(stand_in, describe("chuanglan"), ZHANG, LI)
    assert isinstance(answer.result, Sent)
    assert answer.result.provider_id == "17041010383624511"
    assert stand_in.asked.json == {
        "account": "N1",
        "password": "p&w",
        "msg": WORDS.text,
        "phone": "13800138000,13800138001",
        "report": "true",
        "uid": "r/0",
    }


async def test_luosimao_is_logged_in_by_basic(stand_in: StandIn) -> None:
    stand_in.says = {"error": 0, "msg": "ok"}
    assert isinstance((await send(stand_in, describe("luosimao"), ZHANG)).result, Sent)
    assert stand_in.asked.headers["authorization"] == f"Basic {base64.b64encode(b'api:key-k').decode()}"
    assert parse_qs(stand_in.asked.body.decode()) == {"mobile": ["13800138000"], "message": [WORDS.text]}


async def test_smsbao_is_asked_by_get_with_a_digest(stand_in: StandIn) -> None:
    stand_in.says = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n0"
    assert isinstance((await send(stand_in, describe("smsbao"), ZHANG)).result, Sent)
    digest = hashlib.md5(b"secret", usedforsecurity=False).hexdigest()
    assert stand_in.asked.verb == "GET"
    assert stand_in.asked.query == {"u": "zhang", "p": digest, "m": "13800138000", "c": WORDS.text}


async def test_yunpian_answers_for_each_number(stand_in: StandIn) -> None:
    stand_in.says = {
        "total_count": 1,
        "data": [
            {"code": 0, "mobile": "13800138000", "sid": 1310228982, "msg": "发送成功"},
            {"code": 10, "mobile": "13800138001", "msg": "手机号在黑名单"},
        ],
    }
    answer = await send(stand_in, describe("yunpian"), ZHANG, LI)
    first, second = answer.by_number[ZHANG].result, answer.by_number[LI]
    assert isinstance(first, Sent)
    assert first.provider_id == "1310228982"
    assert (type(second.result), second.concerns) == (Refused, "recipient")
    assert second.result == Refused("http", "yunpian:10", json.dumps(stand_in.says["data"][1], ensure_ascii=False))


async def test_mas_is_signed_and_wrapped(stand_in: StandIn) -> None:
    stand_in.says = {"msgGroup": "0106", "rspcod": "success", "success": True}
    answer = await send(stand_in, describe("mas"), ZHANG)
    assert isinstance(answer.result, Sent)
    assert answer.result.provider_id == "0106"
    said = json.loads(base64.b64decode(stand_in.asked.body))
    signed = f"天存apps13800138000{WORDS.text}sig"
    assert said["mac"] == hashlib.md5(signed.encode(), usedforsecurity=False).hexdigest()
    assert (said["mobiles"], said["content"], said["sign"]) == ("13800138000", WORDS.text, "sig")


@pytest.mark.parametrize(
    ("name", "says", "result", "concerns"),
    [
        ("chuanglan", {"code": "102", "errorMsg": "密码错误"}, Blocked, "account"),
        ("chuanglan", {"code": "105", "errorMsg": "敏感词"}, Refused, "content"),
        ("chuanglan", {"code": "999", "errorMsg": "?"}, Again, "content"),
        ("chuanglan", {"code": "125", "errorMsg": "匹配驳回模板"}, Refused, "content"),
        ("chuanglan", {"code": "135", "errorMsg": "同一手机号相同内容"}, Refused, "recipient"),
        ("luosimao", {"error": -42, "msg": "too often"}, Again, "recipient"),
        ("luosimao", {"error": -34, "msg": "sign"}, Blocked, "signature"),
        ("smsbao", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n41", Blocked, "account"),
        ("smsbao", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n51", Refused, "recipient"),
        ("yunpian", {"code": -1, "msg": "key"}, Blocked, "account"),
        ("yunpian", {"code": 53, "msg": "手机号接收超过频率限制"}, Again, "recipient"),
        ("yunpian", {"code": -3, "msg": "IP没有权限"}, Blocked, "account"),
        ("yunpian", {"code": 15, "msg": "签名不匹配"}, Blocked, "signature"),
        ("mas", {"rspcod": "IllegalMac", "success": False}, Blocked, "account"),
    ],
)
async def test_a_code_is_classified_by_the_description(
    stand_in: StandIn,
    name: str,
    says: Any,  # noqa: ANN401
    result: type[Result],
    concerns: str,
) -> None:
    stand_in.says = says
    answer = await send(stand_in, describe(name), ZHANG)
    assert (type(answer.result), answer.concerns) == (result, concerns)


@pytest.mark.parametrize(
    ("name", "says", "paces"),
    [
        ("chuanglan", {"code": "103", "errorMsg": "提交过快"}, True),
        ("yunpian", {"code": -5, "msg": "访问频率超限"}, True),
        ("yunpian", {"code": 53, "msg": "手机号接收超过频率限制"}, True),
        ("chuanglan", {"code": "104", "errorMsg": "系统忙"}, False),
        ("chuanglan", {"code": "109", "errorMsg": "无发送额度"}, False),
    ],
)
async def test_too_fast_paces_and_trouble_does_not(
    stand_in: StandIn,
    name: str,
    says: Any,  # noqa: ANN401
    paces: bool,  # noqa: FBT001
) -> None:
    stand_in.says = says
    answer = await send(stand_in, describe(name), ZHANG)
    assert answer.is_rate_limited is paces


async def test_gbk_goes_out_and_comes_in(stand_in: StandIn) -> None:
    """What it has no character for is refused before it is asked."""
    said = "成功".encode("gbk")
    stand_in.says = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said)
    given = {"url": "http://x/send?c={text}", "method": "GET", "success": "text=成功", "charset": "gbk"}
    described = Http.model_validate(given)
    assert isinstance(
        (await send(stand_in, described, ZHANG, message=Message("", {}, "您好", is_free_text=True))).result, Sent
    )
    assert stand_in.asked.target == "/send?c=%C4%FA%BA%C3"
    answer = await send(stand_in, described, ZHANG, message=Message("", {}, "😀", is_free_text=True))
    assert isinstance(answer.result, Refused)
    assert len(stand_in.stub.asked) == 1


async def test_xml_is_read(stand_in: StandIn) -> None:
    said = b"<?xml version='1.0'?><returnsms><returnstatus>Success</returnstatus><taskID>7</taskID></returnsms>"
    stand_in.says = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said)
    described = Http.model_validate({"url": "http://x/", "success": "returnstatus=Success", "id": "taskID"})
    result = (await send(stand_in, described, ZHANG)).result
    assert isinstance(result, Sent)
    assert result.provider_id == "7"


@pytest.mark.parametrize("wrap", ["", "base64"])
async def test_a_signature_of_the_body_is_one_of_what_is_sent(stand_in: StandIn, wrap: str) -> None:
    described = Http.model_validate(
        {
            "url": "http://x/send?sign={digest}",
            "headers": {"X-Signature": "{sign}"},
            "body": '{"to":"{number}","text":"{text}","at":"{moment}"}',
            "wrap": wrap,
            "computed": {
                "digest": {"of": "{body}{key}", "by": "md5"},
                "moment": {"of": "{stamp}", "by": "plain", "as": "base64"},
                "sign": {"of": "{digest}", "key": "{key}", "by": "hmac-sha256"},
            },
            "secrets": {"key": "a secret"},
            "success": "status=200",
        }
    )
    await send(stand_in, described, ZHANG)
    digest = hashlib.md5(stand_in.asked.body + b"a secret", usedforsecurity=False).hexdigest()
    assert stand_in.asked.target == f"/send?sign={digest}"
    assert stand_in.asked.headers["x-signature"] == hmac.digest(b"a secret", digest.encode(), "sha256").hex()


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        ("body", {"body": "{sign}", "computed": {"sign": {"of": "{body}", "by": "md5"}}}),
        ("body", {"body": "{body}"}),
        ("body", {"body": "to={numbr}"}),
        ("url", {"url": "http://x/{path}"}),
        ("basic", {"basic": "{user}:{password}"}),
        ("headers.Key", {"headers": {"Key": "{key}"}}),
        ("computed.a", {"computed": {"a": {"of": "{b}", "by": "md5"}, "b": {"of": "x", "by": "md5"}}}),
        ("check.path", {"check": {"path": "/{account}", "success": "status=200"}}),
    ],
)
def test_a_placeholder_that_nothing_fills_is_refused(place: str, changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"{place} has the placeholder"):
        Http.model_validate({"url": "http://x/", "success": "status=200", **changed})


@pytest.mark.parametrize(
    ("computed", "value"),
    [
        ({"of": "{a}b", "by": "md5"}, "187ef4436122d1cc2f40dc2b92f0eba0"),
        ({"of": "{a}b", "by": "md5", "as": "HEX"}, "187EF4436122D1CC2F40DC2B92F0EBA0"),
        ({"of": "{a}b", "by": "plain", "as": "base64"}, "YWI="),
        (
            {"of": "what do ya want for nothing?", "key": "Jefe", "by": "hmac-sha256"},
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ],
)
def test_a_placeholder_is_computed(computed: dict[str, str], value: str) -> None:
    """RFC 4231's second test case among them."""
    assert compute(ComputedValue.model_validate(computed), {"a": "a"}) == value


def provider(name: str) -> HttpProvider:
    """Make a provider that is never called."""
    limits: Mapping[str, TemplateLimits] = {}
    described = describe(name, hook_secret="x")
    return HttpProvider("http", described, None, TemplateBook("", {}, limits), lambda: 1735704000.0)  # type: ignore[arg-type]


PUSHES: Mapping[str, Callable[[], HookRequest]] = {
    "chuanglan": lambda: HookRequest(
        "https://imsg.test/hooks/sms/http/x?" + urlencode({"msgid": "7", "mobile": "13800138000", "status": "DELIVRD"}),
        {},
        b"",
    ),
    "yunpian": lambda: HookRequest(
        "https://imsg.test/hooks/sms/http/x",
        {},
        urlencode(
            {"sms_status": json.dumps([{"sid": 7, "mobile": "13800138000", "report_status": "SUCCESS"}])}
        ).encode(),
    ),
    "mas": lambda: HookRequest(
        "https://imsg.test/hooks/sms/http/x",
        {},
        json.dumps({"msgGroup": "7", "mobile": "13800138000", "reportStatus": "CM:0000"}).encode(),
    ),
}


async def test_receipts_are_fetched_by_the_description(stand_in: StandIn) -> None:
    stand_in.says = {"code": 0, "data": [{"id": 7, "to": "13800138000", "state": "OK"}]}
    given = {
        "url": "http://x/",
        "success": "code=0",
        "basic": "zhang:{key}",
        "secrets": {"key": "k"},
        "receipts": {
            "format": "json", "list": "data", "id": "id", "number": "to", "status": "state", "delivered": ["OK"]
        },
        "pull": {"url": f"{stand_in.stub.url}/reports", "body": '{"n": 10, "at": "{time}"}', "success": "code=0"},
    }  # fmt: skip
    async with open_pool(60.0) as pool:
        described = HttpProvider(
            "http", Http.model_validate(given), pool, TemplateBook("", {}, {}), lambda: 1735704000.0
        )
        reports = await described.pulls[0]()
        assert [(receipt.receipt.provider_id, receipt.receipt.status) for receipt in reports.receipts] == [
            ("7", "delivered")
        ]
        stand_in.says = {"code": 5}
        with pytest.raises(NoAnswer, match="5"):
            await described.pulls[0]()
    assert stand_in.stub.asked[0].json == {"n": 10, "at": "1735704000"}
    assert stand_in.stub.asked[0].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("name", PUSHES)
def test_a_receipt_is_read_by_the_description(name: str) -> None:
    reports = provider(name).read(PUSHES[name]())
    assert reports is not None
    ((receipt,),) = ([receipt.receipt for receipt in reports.receipts],)
    assert (receipt.provider_id, receipt.address, receipt.status) == ("7", ZHANG, "delivered")
    assert receipt.at == datetime.fromtimestamp(1735704000, UTC)


def test_a_description_lists_which_receipts_are_opt_outs() -> None:
    receipts = {
        "format": "json", "id": "id", "number": "to", "status": "state", "detail": "why", "delivered": ["OK"],
        "opted_out": ["2:70"],
    }  # fmt: skip
    described = Http.model_validate({"url": "http://x/", "success": "code=0", "receipts": receipts})
    reading = HttpProvider("http", described, None, TemplateBook("", {}, {}), lambda: 1735704000.0)  # type: ignore[arg-type]
    entry = {"id": 7, "to": "13800138000", "state": "FAIL"}
    body = json.dumps([{**entry, "why": "2:70"}, {**entry, "state": "2:70"}, {**entry, "why": "2:12"}, entry])
    reports = reading.read(HookRequest("https://imsg.test/hooks/sms/http/x", {}, body.encode()))
    assert reports is not None
    assert [receipt.opted_out for receipt in reports.receipts] == [True, True, False, False]


@pytest.mark.parametrize(
    ("countries", "number"), [("+1, +44", "+13865551234"), ("+86", "+8613865551234"), ("*", "+8613865551234")]
)
def test_digits_are_a_number_of_the_countries_that_the_provider_takes(countries: str, number: str) -> None:
    """The opt-out of an American number is not one of mainland China."""
    told = {"format": "json", "number": "to"}
    described = Http.model_validate(
        {
            "url": "http://x/?to={digits}",
            "success": "code=0",
            "countries": countries,
            "receipts": {**told, "id": "id", "status": "state", "delivered": ["OK"]},
            "inbound": {**told, "text": "text"},
        }
    )
    reading = HttpProvider("http", described, None, TemplateBook("", {}, {}))  # type: ignore[arg-type]
    read = reading.read(HookRequest("https://imsg.test/x", {}, b'{"id": 7, "to": "13865551234", "state": "OK"}'))
    written = reading.read(HookRequest("https://imsg.test/x", {}, b'{"to": "13865551234", "text": "STOP"}'))
    assert read is not None
    assert written is not None
    assert [receipt.receipt.address for receipt in read.receipts] == [number]
    assert [inbound.address for inbound in written.inbound] == [number]


@pytest.mark.parametrize("name", PUSHES)
def test_what_is_no_receipt_is_none(name: str) -> None:
    nothing = provider(name).read(HookRequest("https://imsg.test/hooks/sms/http/x", {}, b"5"))
    assert nothing is None or not nothing.receipts


WRITTEN: Mapping[str, Callable[[], HookRequest]] = {
    "chuanglan": lambda: HookRequest(
        "https://imsg.test/hooks/sms/http/x/inbound?"
        + urlencode({"mobile": "13800138000", "msg": "退订", "destcode": "10690", "moTime": "2501011200"}),
        {},
        b"",
        is_inbound=True,
    ),
    "yunpian": lambda: HookRequest(
        "https://imsg.test/hooks/sms/http/x",
        {},
        urlencode(
            {
                "sms_reply": json.dumps(
                    {"id": "9", "mobile": "13800138000", "text": "退订", "extend": "10690",
                     "reply_time": "2025-01-01 12:00:00"}
                )
            }
        ).encode(),
    ),
    "mas": lambda: HookRequest(
        "https://imsg.test/hooks/sms/http/x/inbound",
        {},
        json.dumps(
            {"mobile": "13800138000", "smsContent": "退订", "addSerial": "10690", "sendTime": "20250101120000"}
        ).encode(),
        is_inbound=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_replies_are_read_by_the_description(name: str) -> None:
    """By a URL of its own, or by that of receipts where the provider has one for both."""
    reports = provider(name).read(WRITTEN[name]())
    assert reports is not None
    ((inbound,), reports_of_messages) = (reports.inbound, reports.receipts)
    assert (inbound.address, inbound.text, inbound.to, list(reports_of_messages)) == (ZHANG, "退订", "10690", [])
    assert inbound.at == datetime(2025, 1, 1, 4, 0, tzinfo=UTC)
    assert reports.reply is not None


def _make_signed(**changed: Any) -> HttpProvider:  # noqa: ANN401
    """Make a provider that signs its pushes, in GBK."""
    push = {"format": "form", "number": "mobile", "text": "msg", "time": "time"}
    signed = {"field": "sign", "of": "{mobile}{time}{key}", "by": "md5", "as": "HEX"}
    given = {
        "url": "http://x/", "success": "code=0", "charset": "gbk", "hook_secret": "x", "secrets": {"key": "k"},
        "inbound": {**push, "signed": signed} | changed,
    }  # fmt: skip
    return HttpProvider("http", Http.model_validate(given), None, TemplateBook("", {}, {}), lambda: 1735704000.0)  # type: ignore[arg-type]


def test_a_push_in_gbk_is_read_where_it_is_signed_as_described() -> None:
    sign = hashlib.md5(b"13800138000" + b"1735704000" + b"k", usedforsecurity=False).hexdigest()
    fields = {"mobile": "13800138000", "time": "1735704000", "msg": "退订谢谢", "sign": sign}

    def push(**changed: str) -> HookRequest:
        return HookRequest(
            "https://imsg.test/hooks/sms/http/x", {}, urlencode(fields | changed, encoding="gbk").encode()
        )

    reports = _make_signed().read(push())
    assert reports is not None
    assert [inbound.text for inbound in reports.inbound] == ["退订谢谢"]
    for forged in (push(sign=""), push(sign="0" * 32), push(mobile="13900139000")):
        with pytest.raises(NotSigned):
            _make_signed().read(forged)


def test_a_push_may_be_signed_in_a_header_over_its_body() -> None:
    signed = {"header": "X-Sign", "of": "{body}", "key": "{key}", "by": "hmac-sha256", "as": "base64"}
    body = urlencode({"mobile": "13800138000", "msg": "1", "time": "1735704000"}).encode()
    sign = base64.b64encode(hmac.digest(b"k", body, "sha256")).decode()
    described = _make_signed(signed=signed)
    reports = described.read(HookRequest("https://imsg.test/x", {"x-sign": sign}, body))
    assert reports is not None
    assert [inbound.address for inbound in reports.inbound] == [ZHANG]
    with pytest.raises(NotSigned):
        described.read(HookRequest("https://imsg.test/x", {}, body))
