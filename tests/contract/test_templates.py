"""Templates in the catalog: checked when saved, published for the gateways, never lost."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import httpx
import pytest

from imsg_contract.route_limits import ProviderLimits, RouteLimits, TemplateLimits
from imsg_contract.templates import PublishedTemplate
from imsg_contract.topology import TEMPLATES, route_limits_key, template_limits_key
from imsg_runtime.redis import Redis
from imsg_testing.broken_templates import BOMBS, make_broken
from imsg_testing.callers import user
from imsg_testing.catalog import HEADERS, Catalog, run_catalog
from imsg_testing.databases import on_both_databases
from imsg_testing.waiting import eventually

PATH = "/api/templates"
SEED = random.SystemRandom().getrandbits(64)
"""Another one each time; a failure shows it."""

LI = {**HEADERS, **user("li").headers()}
WANG = {**HEADERS, **user("wang").headers()}
AUDITOR = {**HEADERS, **user("audrey", role="auditor").headers()}

MAIL = {"subject": "{{ name }}，您好", "text": "订单 {{ number }} 已发货。", "html": "<p>{{ name }}</p>"}
ORDER = TemplateLimits(
    text="${name}您好，订单${number}已发货。", signature="【天存】", variables={"name": 5, "number": None}
)
SALE = TemplateLimits(text="${name}，大促销！", signature="【天存】", variables={"name": 20})
LIMITS = RouteLimits(
    providers=(
        ProviderLimits(name="aliyun", kind="aliyun", longest=35, limits={"SMS_1": ORDER, "SMS_2": SALE}),
        ProviderLimits(name="tencent", kind="tencent", longest=12, limits={}),
    )
)
ACCOUNTS = RouteLimits(
    providers=(ProviderLimits(name="main", limits={"order": TemplateLimits(variables={"goods": 20})}),)
)
SMS = {"providers": {"aliyun": {"template": "SMS_1", "variables": {"name": "{{ name }}", "number": "{{ number }}"}}}}


def make(name: str = "order", **fields: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    return {
        "name": name,
        "category": "notice",
        "default_language": "zh",
        "languages": {"zh": {"smtp": MAIL, "sms": SMS}},
        **fields,
    }


@pytest.fixture
async def catalog(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Catalog]:
    async with run_catalog(database_url, redis_url, redis) as running:
        await redis.call("SET", route_limits_key("sms"), LIMITS.encode())
        await redis.call("SET", route_limits_key("wechat"), ACCOUNTS.encode())
        yield running


async def call(catalog: Catalog, verb: str, path: str = "", **given: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    answer: httpx.Response = await catalog.client.request(verb, f"{PATH}{path}", headers=given.pop("by", LI), **given)
    body: dict[str, Any] = answer.json()
    return body


@on_both_databases
async def test_a_draft_is_published_and_an_earlier_version_can_be_published_again(catalog: Catalog) -> None:
    added = await call(catalog, "POST", json=make())
    assert (added["version"], added["published"], added["state"]) == (1, None, "draft"), added
    assert added["params"] == [
        {"name": "name", "required": True, "max": 5, "example": "name"},
        {"name": "number", "required": True, "max": 35, "example": "number"},
    ]
    assert await catalog.redis.call("HGET", TEMPLATES, "order") is None
    changed = await call(catalog, "PATCH", "/order", json={"languages": {"zh": {"smtp": MAIL}}})
    assert (changed["version"], sorted(changed["languages"]["zh"])) == (1, ["smtp"])

    assert (await call(catalog, "POST", "/order/publish"))["published"] == 1
    newer = {**MAIL, "subject": "{{ name }}，您好！"}
    changed = await call(catalog, "PATCH", "/order", json={"languages": {"zh": {"smtp": newer}}})
    assert (changed["version"], changed["published"], changed["state"]) == (2, 1, "draft")
    assert await published(catalog, "order") == (1, MAIL)
    await call(catalog, "POST", "/order/publish")
    assert await published(catalog, "order") == (2, newer)
    assert await published(catalog, "order@1") == (1, MAIL)
    await call(catalog, "POST", "/order/publish", json={"version": 1})
    assert await published(catalog, "order") == (1, MAIL)
    versions = (await call(catalog, "GET", "/order/versions"))["versions"]
    assert [(version["version"], version["state"]) for version in versions] == [(2, "published"), (1, "published")]

    await catalog.redis.call("DEL", TEMPLATES)

    async def is_back() -> bool:
        return bool(await catalog.redis.call("HEXISTS", TEMPLATES, ""))

    await eventually(is_back, 60)
    assert await published(catalog, "order") == (1, MAIL)
    assert (await call(catalog, "DELETE", "/order"))["errorCode"] == 0
    assert await catalog.redis.call("HKEYS", TEMPLATES) == [b""]
    assert (await call(catalog, "GET", "/order"))["reason"] == "not_found"
    assert (await call(catalog, "GET", "/order?version=2"))["languages"]["zh"]["smtp"] == newer
    assert (await call(catalog, "POST", json=make(), by=WANG))["reason"] == "template_taken"
    assert (await call(catalog, "POST", json=make()))["version"] == 3


async def published(catalog: Catalog, field: str) -> tuple[int, object]:
    template = PublishedTemplate.model_validate_json(await catalog.redis.call("HGET", TEMPLATES, field))
    return template.version, template.languages["zh"]["smtp"]


async def test_a_template_is_its_owners_and_may_be_shared(catalog: Catalog) -> None:
    for n in range(3):
        await call(catalog, "POST", json=make(f"li-{n}", shared=n == 2))
    await call(catalog, "POST", json=make("wang"), by=WANG)
    await catalog.redis.call("HSET", template_limits_key("sms"), "SMS_1", ORDER.encode())

    listed = (await call(catalog, "GET", by=WANG))["templates"]
    assert [(template["from"], template["name"]) for template in listed] == [
        ("settings", "SMS_1"), ("catalog", "li-2"), ("catalog", "wang"),
    ]  # fmt: skip
    assert listed[1]["languages"] == {"zh": ["smtp", "sms"]}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await call(catalog, "GET", f"?limit=2{cursor and '&cursor='}{cursor}", by=AUDITOR)
        seen += [template["name"] for template in page["templates"] if template["from"] == "catalog"]
        cursor = page["next"]
    assert seen == ["li-0", "li-1", "li-2", "wang"]

    assert (await call(catalog, "GET", "/li-0", by=WANG))["reason"] == "not_found"
    for verb, path in (("PATCH", "/li-2"), ("DELETE", "/li-2"), ("POST", "/li-2/publish")):
        body = {"json": {"shared": False}} if verb == "PATCH" else {}
        assert (await call(catalog, verb, path, by=WANG, **body))["reason"] == "no_right"
        assert (await call(catalog, verb, path, by=AUDITOR, **body))["reason"] == "no_right"
    assert (await call(catalog, "PATCH", "/li-2", json={"shared": False}, by=HEADERS))["shared"] is False


LONG = "{{ name }}" + "长" * 36
WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"smtp": {"subject": "a", "text": "您好\n {% if a %}"}}, "smtp.text", "第 2 行第 5 列：缺少 {% endif %}"),
    ({"smtp": {"subject": "{{ a | nofilter }}", "text": "a"}}, "smtp.subject", "没有过滤器 nofilter"),
    ({"smtp": {"subject": "a"}}, "smtp", "text 和 html"),
    ({"smtp": {"subject": "a", "text": "{% for i in (1..999999999) %}{% endfor %}"}}, "smtp.text", "循环次数过多"),
    ({"smtp": {"subject": "{{ a }}" + "x" * 300, "text": "a"}}, "smtp", "subject 须为 1 到 255 个字符"),
    ({"fax": {}}, "fax", "没有"),
    ({"wechat": {"providers": {"main": {"template": "oder"}}}}, "wechat.providers.main.template", "现有：order"),
    ({}, "zh", "至少要有一种渠道"),
    ({"sms": {"providers": {"twilio": {"template": "a"}}}}, "sms.providers.twilio", "现有：aliyun, tencent"),
    (
        {"sms": {"providers": {"aliyun": {"template": "SMS_1", "variables": {"name": "{{ n }}"}}}}},
        "variables", "缺少 number",
    ),
    (
        {"sms": {"providers": {"aliyun": {"template": "SMS_2", "variables": {"name": "{{ n }}", "x": "1"}}}}},
        "variables", "没有变量 x",
    ),
    (
        {"sms": {"providers": {"aliyun": {"template": "SMS_9", "variables": {"x": LONG}}}}},
        "variables.x", "最多 35 个字符",
    ),
    ({"sms": {"providers": {"tencent": {"template": "9", "variables": {"1": "{{ a }}1234567"}}}}}, "", ""),
)  # fmt: skip


@pytest.mark.parametrize(("sources", "field", "why"), WRONG)
async def test_what_is_wrong_is_named_by_its_place_and_nothing_is_kept(
    catalog: Catalog, sources: dict[str, Any], field: str, why: str
) -> None:
    is_code = not why
    body = make(category="code" if is_code else "notice", languages={"zh": sources})
    refused = await call(catalog, "POST", json=body, by={**LI, "accept-language": "zh"})
    assert refused["errorCode"] == 10017, refused
    assert field in refused["detail"], refused
    assert (why or "最多 6 个字符") in refused["detail"], refused
    assert (await call(catalog, "GET"))["templates"] == []


async def test_two_hundred_broken_templates_are_refused_by_their_places_and_nothing_is_kept(catalog: Catalog) -> None:
    """Meanwhile others are answered."""
    draw = Random(SEED)  # noqa: S311  made-up texts
    broken = [*make_broken(draw, 200), *BOMBS]
    for texts in (broken[first : first + 10] for first in range(0, len(broken), 10)):
        places = [(draw.choice(("text", "html")), draw.choice(("zh", "en"))) for _ in texts]
        asked = [
            call(
                catalog,
                "POST",
                json=make(languages={"zh": {"smtp": {"subject": "a", field: text}}}),
                by={**LI, "accept-language": language},
            )
            for text, (field, language) in zip(texts, places, strict=True)
        ]
        listed, *answers = await asyncio.gather(call(catalog, "GET"), *asked)
        assert listed["templates"] == []
        for text, (field, language), refused in zip(texts, places, answers, strict=True):
            assert refused["errorCode"] == 10017, (SEED, text[:200], refused)
            assert f"smtp.{field}" in refused["detail"] or text in BOMBS, (SEED, text[:200], refused)
            place = r"第 \d+ 行第 \d+ 列" if language == "zh" else r"line \d+, column \d+"
            assert re.search(place, refused["detail"]) or text in BOMBS, (SEED, text[:200], refused)
            assert len(refused["detail"]) < 400, (SEED, text[:200], refused)
    assert (await call(catalog, "POST", json=make()))["errorCode"] == 0


async def test_marketing_by_sms_contains_how_to_refuse_it(catalog: Catalog) -> None:
    sources = {"sms": {"providers": {"aliyun": {"template": "SMS_2", "variables": {"name": "{{ name }}"}}}}}
    refused = await call(catalog, "POST", json=make(category="marketing", languages={"zh": sources}))
    assert "拒收请回复R" in refused["detail"]
    assert (await call(catalog, "POST", json=make(languages={"zh": sources})))["errorCode"] == 0


async def test_a_preview_is_what_would_be_sent(catalog: Catalog) -> None:
    english = {"smtp": {"subject": "Dear {{ name }}", "text": "{{ note | default: '-' }}"}}
    await call(catalog, "POST", json=make(languages={"zh": {"smtp": MAIL, "sms": SMS}, "en": english}))

    mail = await call(
        catalog, "POST", "/order/preview", json={"method": "smtp", "params": {"name": "<张>", "number": "7"}}
    )
    assert mail["content"] == {"subject": "<张>，您好", "text": "订单 7 已发货。", "html": "<p>&lt;张&gt;</p>"}
    sms = await call(
        catalog, "POST", "/order/preview", json={"method": "sms", "language": "en", "params": {"name": "张"}}
    )
    assert sms["language"] == "zh"
    assert sms["texts"] == [{"provider": "aliyun", "text": "【天存】张您好，订单number已发货。", "segments": 1}]
    other = await call(catalog, "POST", "/order/preview", json={"method": "smtp", "language": "en"})
    assert other["content"] == {"subject": "Dear name", "text": "-"}
    for body in ({"method": "wechat"}, {"method": "smtp", "params": {"x": "1"}}, {"method": "fax"}):
        refused = await call(catalog, "POST", "/order/preview", json=body)
        assert refused["errorCode"] in (10008, 10017), refused
    assert json.dumps(mail["content"]) == json.dumps((await call(catalog, "POST", "/order/preview", json={
        "method": "smtp", "params": {"name": "<张>", "number": "7"}, "version": 1}))["content"])  # fmt: skip
