"""An SMS is checked by the limits of the accounts that may carry it, to each recipient."""

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse

from imsg_contract.route_limits import ProviderLimits, RouteLimits, TemplateLimits
from imsg_contract.topology import (
    FOLLOWERS_COMPLETE,
    followers_key,
    providers_key,
    route_limits_key,
    template_limits_key,
)
from imsg_contract.wire import Category
from imsg_testing.gateway import ME, RunningGateway, run_gateway

HOME, ABROAD = "13800138000", "+16502530000"
CODE = {"template": "code", "params": {"code": "4370"}}
LONG = "a" * 36

NOTICE = TemplateLimits(default=True, signature="【天存】", text="通知：${content}。", variables={"content": 35})
WORDS = TemplateLimits(default=True, variables={"text": None}, links=True, breaks=True)
ALIYUN = ProviderLimits(
    name="aliyun",
    countries=("+86",),
    limits={"SMS_1": NOTICE, "code": TemplateLimits(text="码${code}", variables={"code": 6})},
)
TWILIO = ProviderLimits(name="twilio", weight=0, numbers=("+1",), limits={"text": WORDS})


async def publish(gateway: RunningGateway, *providers: ProviderLimits, off: str = "") -> None:
    """Publish accounts as a sender does; together they accept a text of any length."""
    united = NOTICE.model_copy(update={"variables": {"content": None}})
    await gateway.redis.call("HSET", template_limits_key("sms"), "SMS_1", united.model_dump_json())
    await gateway.redis.call("SET", route_limits_key("sms"), RouteLimits(providers=providers).encode())
    (now_s, _) = await gateway.redis.call("TIME")
    states = [
        {
            "name": provider.name,
            "enabled": provider.name != off,
            "weight": provider.weight,
            "share": None,
            "sent": 0,
            "failed": 0,
        }
        | {"blocks": [], "last_error": None, "p95_ms": None}
        for provider in providers
    ]
    # Far ahead, so that it is fresh however slow the test is.
    await gateway.redis.call("HSET", providers_key("sms"), f"{int(now_s) + 600} x", json.dumps({"providers": states}))


async def send(gateway: RunningGateway, content: object, to: object, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Send, after a check that has to say the same; return the answer's object."""
    fields = {"token": await gateway.user(role="admin"), "method": "sms", "to": to, "content": content, **more}
    gateway.auth.answer = JSONResponse(ME)
    checked = (await gateway.client.post("/api/v2/messages/check", json=fields)).json()
    answer: dict[str, Any] = (await gateway.client.post("/api/v2/messages", json=fields)).json()
    for name in ("errorCode", "reason", "detail", "segments"):
        assert checked.get(name) == answer.get(name), checked
    if answer["errorCode"]:
        assert await gateway.redis.call("KEYS", "imsg:used:*") == []
    return answer


@pytest.mark.parametrize(
    ("content", "to", "complaint"),
    [
        (LONG, HOME, "35"),
        (LONG, ABROAD, None),
        ("a" * 35, HOME, None),
        ("see http://a.cn/b", HOME, "网址"),
        ("see http://a.cn/b\nnow", ABROAD, None),
        (CODE, HOME, None),
        (CODE, ABROAD, "code"),
        (LONG, [ABROAD, HOME], f"发往 {HOME} 时"),
        ("", [ABROAD, HOME], "正确：内容不能为空"),
    ],
)
async def test_a_text_is_judged_by_the_account_that_carries_it_to_a_number(
    gateway: RunningGateway, content: object, to: object, complaint: str | None
) -> None:
    await publish(gateway, ALIYUN, TWILIO)
    answer = await send(gateway, content, to)
    assert (answer["errorCode"] == 10009) is (complaint is not None), answer
    assert complaint is None or complaint in answer["detail"]


@pytest.mark.parametrize(("forced", "code"), [("aliyun", 10009), ("spare", 0), (None, 0)])
async def test_the_provider_that_is_forced_alone_is_asked(
    gateway: RunningGateway, forced: str | None, code: int
) -> None:
    spare = ALIYUN.model_copy(update={"name": "spare", "limits": TWILIO.limits})
    await publish(gateway, ALIYUN, spare)
    assert (await send(gateway, LONG, HOME, **({"provider": forced} if forced else {})))["errorCode"] == code


@pytest.mark.parametrize(("category", "code"), [("marketing", 10009), ("notice", 0)])
async def test_what_a_category_goes_by_limits_it(gateway: RunningGateway, category: str, code: int) -> None:
    spare = TWILIO.model_copy(update={"numbers": (), "categories": (Category.NOTICE,)})
    await publish(gateway, ALIYUN, spare)
    assert (await send(gateway, LONG, HOME, category=category))["errorCode"] == code


@pytest.mark.parametrize(("off", "code"), [("", 0), ("spare", 10009), ("aliyun", 0)])
async def test_an_account_that_is_switched_off_lends_its_limits_to_none(
    gateway: RunningGateway, off: str, code: int
) -> None:
    spare = TWILIO.model_copy(update={"name": "spare", "numbers": ()})
    await publish(gateway, ALIYUN, spare, off=off)
    assert (await send(gateway, LONG, HOME))["errorCode"] == code


async def test_what_only_a_switched_off_account_takes_waits_for_it(gateway: RunningGateway) -> None:
    await publish(gateway, ALIYUN, TWILIO, off="twilio")
    assert (await send(gateway, LONG, ABROAD))["errorCode"] == 0


async def test_the_limit_that_is_named_is_the_largest_of_those_that_may_carry_it(gateway: RunningGateway) -> None:
    short = NOTICE.model_copy(update={"variables": {"content": 6}})
    tencent = ProviderLimits(name="tencent", countries=("+86",), limits={"1110": short})
    await publish(gateway, tencent, ALIYUN, TWILIO)
    assert "35" in (await send(gateway, LONG, HOME))["detail"]
    assert (await send(gateway, "a" * 35, HOME))["errorCode"] == 0


async def test_an_account_without_any_template_for_it_takes_nothing(gateway: RunningGateway) -> None:
    bare = ProviderLimits(name="tencent", countries=("+852",), limits={})
    await publish(gateway, ALIYUN, bare)
    for content in ("明天下雨", CODE):
        assert (await send(gateway, content, "+85261234567"))["errorCode"] == 10009


async def test_segments_are_counted_with_the_words_of_each_account(gateway: RunningGateway) -> None:
    """71 with signature and words at home, 63 abroad."""
    roomy = ALIYUN.model_copy(update={"limits": {"SMS_1": NOTICE.model_copy(update={"variables": {"content": None}})}})
    await publish(gateway, roomy, TWILIO)
    assert (await send(gateway, "雨" * 63, [HOME, ABROAD]))["segments"] == 2 + 1


@pytest.mark.parametrize("forced", [None, "aliyun"])
async def test_a_check_foretells_whose_country_no_provider_takes(gateway: RunningGateway, forced: str | None) -> None:
    await publish(gateway, ALIYUN)
    token = await gateway.user(role="admin")
    gateway.auth.answer = JSONResponse(ME)
    fields = {"token": token, "method": "sms", "to": [HOME, ABROAD, "+85291234567"], "content": "天黑了"}

    answer = (await gateway.client.post("/api/v2/messages/check", json={**fields, "provider": forced})).json()

    assert (answer["count"], answer["problems_total"]) == (1, 2)
    assert [(problem["to"], problem["reason"]) for problem in answer["problems"]] == [
        (ABROAD, "country_not_taken"),
        ("+85291234567", "country_not_taken"),
    ]


async def test_a_country_that_neither_the_user_nor_a_provider_takes_is_lifted_in_both_places(
    gateway: RunningGateway,
) -> None:
    await publish(gateway, ALIYUN)
    gateway.auth.answer = JSONResponse({**ME, "sms_countries": ["CN"]})
    fields = {"token": await gateway.user(), "method": "sms", "to": "+85291234567", "content": "天黑了"}

    answer = (await gateway.client.post("/api/v2/messages/check", json=fields)).json()

    (problem,) = answer["problems"]
    assert (answer["problems_total"], problem["reason"]) == (1, "country_not_allowed")
    assert ("sms_countries" in problem["detail"], "（countries）" in problem["detail"]) == (True, True)


async def test_a_check_refuses_no_country_while_no_sender_reports_its_countries(gateway: RunningGateway) -> None:
    token = await gateway.user()
    gateway.auth.answer = JSONResponse(ME)
    fields = {"token": token, "method": "sms", "to": ABROAD, "content": "天黑了"}

    answer = (await gateway.client.post("/api/v2/messages/check", json=fields)).json()

    assert (answer["count"], answer["problems"]) == (1, [])


async def test_a_wechat_template_is_judged_by_the_account_that_each_recipient_follows(store_url: str) -> None:
    async with run_gateway(store_url, wechat={"accounts": {"main": {}, "shop": {}}}) as gateway:
        await gateway.ready()
        mine, theirs = "84G-7ZW-YRB", "HE6-M11-100"
        for account, tag in (("main", mine), ("shop", theirs)):
            await gateway.redis.call("SADD", followers_key(account), tag, FOLLOWERS_COMPLETE)
        short, long = TemplateLimits(variables={"goods": 5}), TemplateLimits(variables={"goods": 20})
        accounts = [
            ProviderLimits(name="main", countries=("",), limits={"order": short}),
            ProviderLimits(name="shop", countries=("",), limits={"order": long, "sale": long}),
        ]
        await gateway.redis.call("SET", route_limits_key("wechat"), RouteLimits(providers=tuple(accounts)).encode())
        await gateway.redis.call("HSET", template_limits_key("wechat"), "order", long.encode(), "sale", long.encode())

        async def try_template(template: str, to: object, **more: object) -> str:
            fields = {
                "method": "wechat",
                "to": to,
                "content": {"template": template, "params": {"goods": "六个字的书名"}},
            }
            answer = await gateway.client.post(
                "/api/v2/messages", json={"token": await gateway.user(role="admin"), **fields, **more}
            )
            return str(answer.json().get("detail", ""))

        assert await try_template("order", theirs) == ""
        assert await try_template("order", theirs, account="shop") == ""
        assert "5" in await try_template("order", mine)
        assert f"发往 {mine} 时" in await try_template("order", [theirs, mine])
        assert await try_template("sale", theirs) == ""
        assert "sale" in await try_template("sale", mine)
