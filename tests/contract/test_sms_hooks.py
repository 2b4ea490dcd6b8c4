"""Hooks of SMS providers: the broker keeps a receipt before it is acknowledged, and none is trusted unchecked."""

import base64
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import pytest

from imsg_broker.connect import open_broker
from imsg_channels import METHODS
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.suppressions import Suppression
from imsg_contract.topology import INBOUND, RECEIPT, Topology, template_limits_key
from imsg_contract.wire import Inbound, Receipt, Wire
from imsg_runtime.redis import connect as connect_redis
from imsg_sms import main as sms
from imsg_testing.sms import ACCOUNT, TENCENT, TWILIO, VOLCENGINE, configure
from imsg_testing.waiting import eventually

URL = f"/hooks/sms/aliyun/{ACCOUNT['hook_secret']}"
NOBODY = "redis://127.0.0.1:1/0"
KEYS: Mapping[type[Wire], str] = {Receipt: RECEIPT, Inbound: INBOUND}
W = TypeVar("W", bound=Wire)


def write_report(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """Write a report as the provider does."""
    return {
        "phone_number": "13800138000",
        "send_time": "2026-11-25 10:00:00",
        "report_time": "2026-11-25 10:00:01",
        "success": True,
        "err_code": "DELIVERED",
        "err_msg": "用户接收成功",
        "sms_size": "1",
        "biz_id": "123^0",
        "out_id": "request/0",
        **changed,
    }


@asynccontextmanager
async def open_sender(broker_url: str, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open sender-sms."""
    fields: dict[str, Any] = {"aliyun": {**ACCOUNT, "endpoint": "http://127.0.0.1:1/"}}
    service = sms.app(sms.Settings(broker_url=broker_url, redis_url=redis_url, sms=configure(fields)))
    async with (
        service.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://sms", timeout=20) as client,
    ):
        yield client


async def consume(url: str, model: type[W], count: int) -> list[W]:
    """Consume `count` messages from history's queue, or suppressions from the catalog's."""
    topology, key = Topology(methods=METHODS), KEYS.get(model)
    queue = topology.catalog if key is None else topology.history
    async with open_broker(url) as broker, broker.consume(queue, 100) as deliveries:
        results: list[W] = []
        while len(results) < count:
            delivery = await anext(deliveries)
            assert key in {None, delivery.key}
            results.append(model.model_validate_json(delivery.body))
            await broker.ack(delivery)
        return results


async def push(client: httpx.AsyncClient, *entries: object) -> httpx.Response:
    """Push until the service has found its broker."""
    answers: list[httpx.Response] = []

    async def is_kept() -> bool:
        answers.append(await client.post(URL, json=list(entries)))
        return answers[-1].is_success

    await eventually(is_kept, 60)
    return answers[-1]


async def test_a_receipt_is_kept_in_its_normal_form(redis_url: str) -> None:
    async with open_sender(redis_url, redis_url) as client:
        answer = await push(
            client,
            write_report(sms_size="3"),
            write_report(phone_number="85261234567", success=False, err_code="X", sms_size="?"),
        )
        assert answer.json() == {"code": 0, "msg": "接收成功"}
        first, second = await consume(redis_url, Receipt, 2)
    assert (first.provider, first.provider_id, first.address, first.status) == (
        "aliyun",
        "123^0",
        "+8613800138000",
        "delivered",
    )
    assert first.at.isoformat() == "2026-11-25T02:00:01+00:00"
    assert (first.segments, second.segments) == (3, None)
    assert (second.address, second.status, second.code) == ("+85261234567", "failed", "X")


async def test_a_receipt_of_a_queried_message_is_published_under_our_own_id_too(redis_url: str) -> None:
    async with connect_redis(redis_url) as redis, open_broker(redis_url) as broker:
        await sms.Receipts(broker, redis).remember("request/0")
    async with open_sender(redis_url, redis_url) as client:
        await push(client, write_report())
        receipts = await consume(redis_url, Receipt, 2)
    assert {receipt.provider_id for receipt in receipts} == {"123^0", "request/0"}


async def test_what_can_not_be_kept_is_asked_for_again(redis_url: str) -> None:
    async with open_sender(NOBODY, redis_url) as client:
        answer = await client.post(URL, json=[write_report()])
    assert answer.status_code == 503
    assert answer.json()["code"] == 1


async def test_a_wrong_secret_finds_nothing_there(redis_url: str) -> None:
    async with open_sender(redis_url, redis_url) as client:
        for path in ("/hooks/sms/aliyun/wrong", f"{URL}x", "/hooks/sms/aliyun/", "/hooks/sms/aliyun/é"):
            answer = await client.post(path, json=[write_report()])
            assert (answer.status_code, answer.json()["errorCode"]) == (404, 10001)


async def test_the_templates_are_published_to_the_gateways(redis_url: str) -> None:
    async with open_sender(redis_url, redis_url), connect_redis(redis_url) as redis:

        async def are_limits_told() -> bool:
            limits = await redis.call("HGET", template_limits_key("sms"), ACCOUNT["template"])
            return bool(limits) and TemplateLimits.model_validate_json(limits).default

        await eventually(are_limits_told)


@asynccontextmanager
async def open_all(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open sender-sms with every provider that reports."""
    nowhere = "http://127.0.0.1:1/"
    fields: dict[str, Any] = {
        "aliyun": {**ACCOUNT, "endpoint": nowhere},
        "tencent": {**TENCENT, "endpoint": nowhere},
        "volcengine": {**VOLCENGINE, "endpoint": nowhere},
        "twilio": {**TWILIO, "endpoint": nowhere},
    }
    service = sms.app(
        sms.Settings(
            broker_url=redis_url,
            redis_url=redis_url,
            public_url="https://imsg.test",
            sms=configure(fields),
        )
    )
    async with (
        service.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://sms", timeout=20) as client,
    ):
        yield client


async def push_until_kept(call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Push until the service has found its broker."""
    answers: list[httpx.Response] = []

    async def is_kept() -> bool:
        answers.append(await call())
        return answers[-1].is_success

    await eventually(is_kept, 60)
    return answers[-1]


async def test_tencents_receipts_are_known_by_their_own_id(redis_url: str) -> None:
    entry = {
        "user_receive_time": "2026-11-25 10:00:01",
        "nationcode": "86",
        "mobile": "13800138000",
        "report_status": "FAIL",
        "errmsg": "MK:0001",
        "description": "空号",
        "sid": "S0",
    }
    async with open_all(redis_url) as client:
        url = f"/hooks/sms/tencent/{TENCENT['hook_secret']}"
        answer = await push_until_kept(lambda: client.post(url, json=[entry, {"sid": "S1"}]))
        assert answer.json() == {"result": 0, "errmsg": "OK"}
        (receipt,) = await consume(redis_url, Receipt, 1)
    assert (receipt.provider, receipt.provider_id, receipt.address) == ("tencent", "S0", "+8613800138000")
    assert (receipt.status, receipt.code, receipt.detail) == ("failed", "MK:0001", "空号")
    assert receipt.at.isoformat() == "2026-11-25T02:00:01+00:00"


async def test_volcengines_receipts_are_kept(redis_url: str) -> None:
    entry = {
        "message_id": "V1",
        "mobile": "13800138000",
        "status_code": "0",
        "description": "success",
        "ext": "request/0",
        "recv_time": 1764036001000,
    }
    async with open_all(redis_url) as client:
        url = f"/hooks/sms/volcengine/{VOLCENGINE['hook_secret']}"
        assert (await push_until_kept(lambda: client.post(url, json=[entry]))).json()["code"] == 0
        (receipt,) = await consume(redis_url, Receipt, 1)
    assert (receipt.provider, receipt.provider_id, receipt.status) == ("volcengine", "V1", "delivered")


async def test_twilios_callbacks_are_taken_where_they_are_signed(redis_url: str) -> None:
    """By the public URL, whatever the proxy made of it; one that settles nothing is answered, and forgotten."""
    path = f"/hooks/sms/twilio/{TWILIO['hook_secret']}"
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003", "To": "+12025550123"}
    fields = {name: [value] for name, value in form.items()}
    text = f"https://imsg.test{path}" + "".join(name + value[0] for name, value in sorted(fields.items()))
    signature = base64.b64encode(hmac.digest(TWILIO["auth_token"].encode(), text.encode(), "sha1")).decode()
    async with open_all(redis_url) as client:
        answer = await push_until_kept(lambda: client.post(path, data=form, headers={"x-twilio-signature": signature}))
        assert (answer.status_code, answer.content) == (204, b"")
        forged = await client.post(
            path, data={**form, "MessageStatus": "delivered"}, headers={"x-twilio-signature": signature}
        )
        assert forged.status_code == 404
        (receipt,) = await consume(redis_url, Receipt, 1)
    assert (receipt.provider, receipt.provider_id, receipt.address) == ("twilio", "SM1", "+12025550123")
    assert (receipt.status, receipt.code) == ("failed", "30003")


@pytest.mark.parametrize("signature", ["签名", "é" * 28, "\xff", "", "A" * 28])
@pytest.mark.parametrize("end", ["", "/inbound", "/inbound?a=b/c", "?a=b/c"])
async def test_what_twilio_did_not_sign_is_nowhere_and_its_secret_in_no_line(
    redis_url: str, signature: str, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = TWILIO["hook_secret"]
    async with open_all(redis_url) as client:
        headers = [(b"x-twilio-signature", signature.encode())]
        answer = await client.post(f"/hooks/sms/twilio/{secret}{end}", data={"MessageSid": "SM1"}, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (404, "no_such_url")
    said = "".join(capsys.readouterr())
    assert "report_not_signed" in said
    assert secret not in said


def _sign_twilio(path: str, form: dict[str, str]) -> dict[str, str]:
    text = f"https://imsg.test{path}" + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.digest(TWILIO["auth_token"].encode(), text.encode(), "sha1")).decode()
    return {"x-twilio-signature": signature}


async def test_what_people_write_is_kept_and_a_word_of_opting_out_is_known(redis_url: str) -> None:
    """By each provider's push; one that has no id of its own is known again by all the rest."""
    aliyun = {
        "phone_number": "13800138000", "send_time": "2026-11-25 10:00:01", "content": "ＴＤ", "sign_name": "天存",
        "dest_code": "10690001", "sequence_id": 17,
    }  # fmt: skip
    tencent = {
        "extend": "01",
        "mobile": "13800138001",
        "nationcode": "86",
        "sign": "天存",
        "text": "收到",
        "time": 1764036001,
    }
    volcengine = {"mobile": "13800138002", "content": "退订", "ext_code": "1069"}
    twilio = {"MessageSid": "SM9", "SmsStatus": "received", "From": "+12025550123", "To": "+15005550006", "Body": "N"}
    secret = "nobody-can-guess-this"
    path = f"/hooks/sms/twilio/{secret}"
    async with open_all(redis_url) as client:
        await push_until_kept(lambda: client.post(f"/hooks/sms/aliyun/{secret}", json=[aliyun]))
        for _ in range(2):
            answer = await client.post(f"/hooks/sms/tencent/{secret}/inbound", json=tencent)
            assert answer.json() == {"result": 0, "errmsg": "OK"}
        assert (await client.post(f"/hooks/sms/volcengine/{secret}", json=volcengine)).is_success
        assert (await client.post(path, data=twilio, headers=_sign_twilio(path, twilio))).is_success
        assert (await client.post(f"{path}/inbound", data=twilio)).status_code == 404
        assert (await client.post("/hooks/sms/aliyun/wrong/inbound", json=[aliyun])).status_code == 404
        found = await consume(redis_url, Inbound, 5)
        suppressed = await consume(redis_url, Suppression, 3)
    assert found[0] == Inbound(
        method="sms", provider="aliyun", id="17", address="+8613800138000", to="10690001", signature="天存",
        text="ＴＤ", opt_out=True, at=datetime(2026, 11, 25, 2, 0, 1, tzinfo=UTC),
    )  # fmt: skip
    assert found[1] == found[2]
    assert [(inbound.provider, inbound.address, inbound.text, inbound.opt_out) for inbound in found[2:]] == [
        ("tencent", "+8613800138001", "收到", False),
        ("volcengine", "+8613800138002", "退订", True),
        ("twilio", "+12025550123", "N", True),
    ]
    assert [
        (suppression.address, suppression.sender, suppression.category, suppression.evidence)
        for suppression in suppressed
    ] == [
        ("+8613800138000", "天存", "marketing", "ＴＤ"),
        ("+8613800138002", None, "marketing", "退订"),
        ("+12025550123", None, "marketing", "N"),
    ]


async def test_a_reply_of_start_removes_an_opt_out(redis_url: str) -> None:
    """By the word, in whichever language, or by what Twilio says of a word that was agreed on there."""
    aliyun = {
        "phone_number": "13800138000", "send_time": "2026-11-25 10:00:01", "content": "恢复", "sign_name": "天存",
        "dest_code": "10690001", "sequence_id": 18,
    }  # fmt: skip
    twilio = {"MessageSid": "SM8", "From": "+12025550123", "To": "+15005550006", "Body": "Yes", "OptOutType": "START"}
    secret = "nobody-can-guess-this"
    path = f"/hooks/sms/twilio/{secret}"
    async with open_all(redis_url) as client:
        await push_until_kept(lambda: client.post(f"/hooks/sms/aliyun/{secret}", json=[aliyun]))
        assert (await client.post(path, data=twilio, headers=_sign_twilio(path, twilio))).is_success
        told = await consume(redis_url, Suppression, 4)
    assert {
        (suppression.address, suppression.sender, suppression.category, suppression.lifts) for suppression in told
    } == {
        (address, sender, category, True)
        for address, sender in (("+8613800138000", "天存"), ("+12025550123", None))
        for category in ("notice", "marketing")
    }


async def test_a_receipt_of_a_blacklisted_number_is_published_to_the_catalog_too(redis_url: str) -> None:
    """By what each provider says, with its words as the evidence; of the one signature that all its templates have."""
    aliyun = write_report(success=False, err_code="MOBILE_IN_BLACK", err_msg="手机号在黑名单")
    tencent = {
        "user_receive_time": "2026-11-25 10:00:01", "nationcode": "86", "mobile": "13800138001",
        "report_status": "FAIL", "errmsg": "MBBLACK", "description": "黑名单", "sid": "S0",
    }  # fmt: skip
    secret = "nobody-can-guess-this"
    async with open_all(redis_url) as client:
        answer = await push_until_kept(
            lambda: client.post(f"/hooks/sms/aliyun/{secret}", json=[aliyun, write_report(phone_number="13800138009")])
        )
        assert answer.json()["code"] == 0
        assert (await client.post(f"/hooks/sms/tencent/{secret}", json=[tencent])).is_success
        told = await consume(redis_url, Suppression, 4)
        kept = await consume(redis_url, Receipt, 3)
    assert sorted(
        (suppression.address, suppression.sender, suppression.category, suppression.evidence) for suppression in told
    ) == [
        (address, sender, category, evidence)
        for address, sender, evidence in (
            ("+8613800138000", "天存", "MOBILE_IN_BLACK 手机号在黑名单"),
            ("+8613800138001", None, "MBBLACK 黑名单"),
        )
        for category in ("marketing", "notice")
    ]
    assert sorted(message.status for message in kept) == ["delivered", "failed", "failed"]
