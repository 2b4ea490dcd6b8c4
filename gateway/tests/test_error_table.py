"""Every row of the table of errors that is the gateway's to answer, in both versions of the interface."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from imsg_contract.errors import TEXTS
from imsg_contract.topology import FOLLOWERS_COMPLETE, followers_key, left_key
from imsg_testing.api_versions import read_answer
from imsg_testing.gateway import RunningGateway, run_gateway
from imsg_testing.quiet_zone import find_quiet_zone

TAG = "84G-7ZW-YRB"
GONE_TAG = "D6Z-1RV-0WY"
OTHER_TAG = "HE6-M11-100"


def check(tried: RunningGateway, answer: httpx.Response, code: int, status: int, reason: str) -> dict[str, Any]:
    """Check an answer of a documented URL against its row: text, reason, detail, and the version's status."""
    body = read_answer(answer)
    assert body["errorCode"] == code, body
    assert body["reason"] == reason
    assert body["detail"]
    if code == 10016:
        assert body["errorMessage"] == f"见详情：{body['detail']}"
    else:
        assert body["errorMessage"] == TEXTS[code]
    assert answer.status_code == (status if tried.is_v2 else 200)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    return body


async def test_0_ok(either: RunningGateway) -> None:
    answer = await either.send(token=await either.user())
    assert answer.status_code == (202 if either.is_v2 else 200)
    assert answer.json()["errorCode"] == 0
    assert answer.json()["errorMessage"] == "OK"


NO_OBJECTS: list[Any] = [
    (b"", "not_json"),
    (b"to=li@example.com&method=smtp", "not_json"),
    (b'{"token": "x",}', "not_json"),
    ('{"token"："x"}'.encode(), "not_json"),
    (b'{"token": NaN}', "not_json"),
    (b'{"token": "\\ud800"}', "not_json"),
    (b'{"token": "\xff"}', "not_json"),
    (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "not_json"),
    (b'{"a":' + b"9" * 5_000 + b"}", "not_json"),
    (b" " * 100_000, "not_json"),
    (b"[]", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"null", "not_an_object"),
]


async def test_10001_what_is_no_json_object(either: RunningGateway) -> None:
    for body, reason in NO_OBJECTS:
        answer = await either.client.post(either.url("/api/send"), content=body)
        check(either, answer, 10001, 400, reason)


async def test_10001_with_413_over_the_size_limit(either: RunningGateway) -> None:
    answer = await either.client.post(either.url("/api/send"), content=b" " * (16 * 1024 * 1024 + 1))
    check(either, answer, 10001, 413, "too_large")


async def test_16_mib_of_spaces_are_only_no_json(either: RunningGateway) -> None:
    answer = await either.client.post(either.url("/api/send"), content=b" " * (16 * 1024 * 1024))
    check(either, answer, 10001, 400, "not_json")


async def test_10001_with_405_for_another_method_and_404_for_an_unknown_path(either: RunningGateway) -> None:
    answer = await either.client.delete(either.url("/api/send"))
    check(either, answer, 10001, 405, "no_such_method")
    assert answer.headers["allow"] == ("GET, POST" if either.is_v2 else "POST")
    unknown = await either.client.get("/api/nothing")
    assert unknown.status_code == 404
    assert unknown.json()["errorCode"] == 10001
    assert unknown.json()["reason"] == "no_such_url"


async def test_10002_a_required_field_absent_or_null(either: RunningGateway) -> None:
    token = await either.user()
    for field in ("to", "method", "content"):
        for value in (..., None):
            body = check(either, await either.send(token=token, **{field: value}), 10002, 400, "missing")
            assert field in body["detail"]


async def test_10002_the_token_absent_or_null(either: RunningGateway) -> None:
    for value in (..., None):
        check(either, await either.send(token=value), 10002, 400, "token_missing")


NO_TOKENS: list[Any] = ["", " ", "forged", "OTljMTUw", 5, True, [], {}, "天" * 50, "A" * 10_000]


async def test_10005_a_token_that_is_none(either: RunningGateway) -> None:
    await either.user()
    for value in NO_TOKENS:
        check(either, await either.send(token=value), 10005, 401, "token_invalid")


NO_METHODS: list[Any] = ["email", "", "SMTP", " smtp", 5, ["smtp"], {}, True]


async def test_10008_a_method_that_is_none(either: RunningGateway) -> None:
    token = await either.user()
    for value in NO_METHODS:
        check(either, await either.send(token=token, method=value), 10008, 400, "method_unknown")


WRONG_MAILS: list[Any] = [
    "text",
    5,
    [],
    {},
    {"subject": "a"},
    {"text": "b"},
    {"subject": None, "text": "b"},
    {"subject": 5, "text": "b"},
    {"subject": "a", "text": 5},
    {"subject": "", "text": "b"},
    {"subject": "a" * 256, "text": "b"},
    {"subject": "a\r\nBcc: x@example.com", "text": "b"},
    {"subject": "a\u2028b", "text": "b"},
    {"subject": "a\x07", "text": "b"},
    {"subject": "a", "text": ""},
    {"subject": "a", "text": "", "html": ""},
    {"subject": "a", "text": "b", "html": 5},
    {"subject": "a", "text": "b\x00"},
    {"subject": "a", "text": "b", "other": "\x00"},
    {"subject": "a", "text": "b" * (1024 * 1024)},
    {"subject": "a", "text": "天" * 200_000, "html": "地" * 200_000},
]


async def test_10009_content_of_a_wrong_shape(either: RunningGateway) -> None:
    token = await either.user()
    for content in WRONG_MAILS:
        check(either, await either.send(token=token, content=content), 10009, 400, "content_shape")


WRONG_TEXTS: list[Any] = [
    "",
    "  ",
    5,
    [],
    {},
    {"template": "", "params": {}},
    {"template": 5},
    {"template": "a", "params": []},
    {"template": "a", "params": {"b": 5}},
    {"subject": "a", "text": "b"},
    "a\x00b",
]


async def test_10009_text_content_of_a_wrong_shape(either: RunningGateway) -> None:
    token = await either.user()
    for method in ("sms", "wechat"):
        for content in WRONG_TEXTS:
            to = "13800138000" if method == "sms" else TAG
            answer = await either.send(token=token, method=method, to=to, content=content)
            check(either, answer, 10009, 400, "content_shape")


HI = {"filename": "a.txt", "file": "aGk="}


WRONG_ATTACHMENTS: list[Any] = [
    "",
    "file",
    5,
    True,
    {},
    [[]],
    [HI, None],
    [HI] * 101,
    {"filename": "a.txt"},
    {"file": "aGk="},
    HI | {"filename": ""},
    HI | {"filename": 5},
    HI | {"filename": "../a.txt"},
    HI | {"filename": "C:\\a.txt"},
    HI | {"filename": ".."},
    HI | {"filename": "a\r\n.txt"},
    HI | {"filename": "a\x00.txt"},
    HI | {"filename": "a" * 256},
    HI | {"file": None},
    HI | {"file": 5},
    HI | {"file": "aGk"},
    HI | {"file": "aGk=="},
    HI | {"file": "aG-_"},
    HI | {"file": "aGk=\u3000"},
    HI | {"file": "这里填读出文件b64encode的结果"},
    HI | {"file": "QUFB" * 100_000 + "Q=Q=" + "QUFB" * 100_000},
    HI | {"file": "QUFB" * (10 * 1024 * 1024 // 3 + 1)},
    [HI | {"file": "QUFB" * (5 * 1024 * 1024 // 3 + 99)}] * 2,
    HI | {"other": "\x00"},
]


async def test_10010_an_attachment_of_a_wrong_shape(either: RunningGateway) -> None:
    token = await either.user()
    for attachment in WRONG_ATTACHMENTS:
        answer = await either.send(token=token, attachment=attachment)
        check(either, answer, 10010, 400, "attachment_shape")


async def test_10010_an_attachment_on_sms_or_wechat(either: RunningGateway) -> None:
    token = await either.user()
    for method, to in (("sms", "13800138000"), ("wechat", TAG)):
        answer = await either.send(token=token, method=method, to=to, content="明天下雨", attachment=HI)
        check(either, answer, 10010, 400, "attachment_shape")


WRONG_RECIPIENTS: list[Any] = [
    ("smtp", []),
    ("smtp", ""),
    ("smtp", 5),
    ("smtp", {}),
    ("smtp", True),
    ("smtp", [5]),
    ("smtp", ["li@example.com", None]),
    ("smtp", "li@"),
    ("smtp", "li@example.com\nBcc: x@example.com"),
    ("smtp", "li@example.com\x00"),
    ("smtp", ["li@example.com", "13800138000"]),
    ("smtp", TAG),
    ("smtp", "nobody"),
    ("smtp", "without"),
    ("sms", "159####1256"),
    ("sms", ["13800138000", "li@example.com"]),
    ("sms", "without"),
    ("wechat", "nobody"),
    ("wechat", [TAG, "13800138000"]),
    ("wechat", "RDV-1EW-ZEF"),
    ("smtp", [f"{n}@example.com" for n in range(10_001)]),
]


async def test_10011_recipients_that_can_not_be(either: RunningGateway) -> None:
    token = await either.user()
    await either.user("without")
    await follow(either)
    for method, to in WRONG_RECIPIENTS:
        content = mail_content() if method == "smtp" else "明天下雨"
        answer = await either.send(token=token, method=method, to=to, content=content)
        check(either, answer, 10011, 400, "recipients_invalid")


async def test_10011_a_tag_of_another_account(either: RunningGateway) -> None:
    token = await either.user()
    await follow(either)
    fields = {"method": "wechat", "to": OTHER_TAG, "content": "明天下雨"}
    check(either, await either.send(token=token, account="main", **fields), 10011, 400, "recipients_invalid")
    assert (await either.send(token=token, account="other", **fields)).json()["errorCode"] == 0
    assert (await either.send(token=token, **fields)).json()["errorCode"] == 0


async def test_10012_the_broker_is_away(store_url: str) -> None:
    async with run_gateway(store_url, broker_url="redis://127.0.0.1:9/0") as opened:
        token = await opened.user(per_hour=1)
        for _ in range(2):
            check(opened, await opened.send(token=token), 10012, 503, "not_accepted")


async def test_10012_redis_is_away(store_url: str) -> None:
    async with run_gateway(store_url, redis_url="redis://127.0.0.1:9/0") as opened:
        token = opened.token("zhang")
        answer = await opened.send(token=token)
        check(opened, answer, 10012, 503, "not_accepted")
        assert int(answer.headers["retry-after"]) > 0
        answer = await opened.client.get(opened.url("/api/query"), headers={"authorization": f"Bearer {token}"})
        check(opened, answer, 10012, 503, "unavailable")


async def test_10012_history_is_away(store_url: str) -> None:
    async with run_gateway(store_url, history_url="http://127.0.0.1:9") as opened:
        await opened.ready()
        token = await opened.user()
        check(opened, await opened.send(token=token, attachment=HI), 10012, 503, "not_accepted")
        answer = await opened.client.get(opened.url("/api/query"), params={"token": token})
        check(opened, answer, 10012, 503, "unavailable")
        assert (await opened.send(token=token)).json()["errorCode"] == 0


async def test_10012_auth_is_away_while_known_tokens_go_on(store_url: str) -> None:
    async with run_gateway(store_url, auth_url="http://127.0.0.1:9") as opened:
        await opened.ready()
        token = await opened.user()
        check(opened, await opened.send(token=token, to="li"), 10012, 503, "not_accepted")
        check(opened, await opened.send(token=opened.token("stranger")), 10012, 503, "not_accepted")
        check(opened, await opened.client.post(opened.url("/api/login"), json={}), 10012, 503, "unavailable")
        assert (await opened.send(token=token)).json()["errorCode"] == 0


@pytest.mark.parametrize(
    ("traits", "reason"),
    [
        ({"per_hour": 1, "per_day": 9}, "per_hour_used_up"),
        ({"per_hour": 9, "per_day": 1}, "per_day_used_up"),
        ({"per_hour": 0}, "per_hour_used_up"),
        ({"recipients_per_day": "1"}, "recipients_per_day_used_up"),
    ],
)
async def test_10013_a_limit_used_up(either: RunningGateway, traits: dict[str, Any], reason: str) -> None:
    token = await either.user(**traits)
    await either.send(token=token)
    answer = await either.send(token=token)
    body = check(either, answer, 10013, 429, reason)
    now = datetime.now(ZoneInfo(find_quiet_zone()))
    assert any(f"{at:%Y-%m-%d}" in body["detail"] for at in (now, now + timedelta(days=1)))
    assert 0 < int(answer.headers["retry-after"]) <= 25 * 3_600
    assert ";r=0;" in answer.headers["ratelimit"]


async def test_10014_the_follower_has_left(either: RunningGateway) -> None:
    token = await either.user()
    await follow(either)
    fields = {"method": "wechat", "content": "明天下雨"}
    body = check(either, await either.send(token=token, to=[TAG, GONE_TAG], **fields), 10014, 400, "not_following")
    assert GONE_TAG in body["detail"]
    assert TAG not in body["detail"]


async def test_10015_an_account_that_is_none(either: RunningGateway) -> None:
    token = await either.user()
    for account in ("nobody", "Main", "", "MAIN"):
        answer = await either.send(token=token, method="wechat", to=TAG, content="明天下雨", account=account)
        check(either, answer, 10015, 400, "no_such_account")


async def test_10015_no_official_account_configured(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await gateway.send(token=token, method="wechat", to=TAG, content="明天下雨")
    check(gateway, answer, 10015, 400, "no_such_account")


async def test_10016_sending_disabled(either: RunningGateway) -> None:
    token = await either.user(available=False)
    check(either, await either.send(token=token), 10016, 403, "sending_disabled")


async def test_10016_no_right(gateway: RunningGateway) -> None:
    token = await gateway.user()
    for path in ("/api/register", "/api/modify/zhang"):
        refused = await gateway.client.post(path, json={"token": token, "per_day": 5, "per_hour": 5})
        assert (refused.status_code, read_answer(refused)["reason"]) == (200, "no_right")
    answer = await gateway.client.patch("/api/v2/channels/smtp", json={"token": token, "paused": False})
    assert (answer.status_code, answer.json()["reason"]) == (403, "no_right")


async def test_10016_key_reused(either: RunningGateway) -> None:
    token = await either.user()
    headers = {"idempotency-key": "one"}
    for name in ("li", "wang"):
        fields = {"token": token, "to": f"{name}@example.com", "method": "smtp", "content": mail_content()}
        answer = await either.client.post(either.url("/api/send"), json=fields, headers=headers)
    check(either, answer, 10016, 409, "key_reused")


async def test_10016_too_many_unknown_recipients(either: RunningGateway) -> None:
    token = await either.user()
    check(
        either,
        await either.send(token=token, to=[f"user{n}" for n in range(100)]),
        10011,
        400,
        "recipients_invalid",
    )
    answer = await either.send(token=token, to="user101")
    body = check(either, answer, 10016, 429, "too_many_tries")
    assert answer.headers["retry-after"] in body["detail"]
    await either.user("li", contacts={"smtp": "li@example.com"})
    check(either, await either.send(token=token, to="li"), 10016, 429, "too_many_tries")
    assert (await either.send(token=token)).json()["errorCode"] == 0


async def test_10017_account_of_a_wrong_type(either: RunningGateway) -> None:
    token = await either.user()
    wrong: list[Any] = [5, True, [], {}]
    for account in wrong:
        check(either, await either.send(token=token, account=account), 10017, 400, "wrong_type")


async def test_10017_an_idempotency_key_of_a_wrong_form(either: RunningGateway) -> None:
    token = await either.user()
    for key in ("a b", "a" * 129, "", "a\tb"):
        fields = {"token": token, "to": "li@example.com", "method": "smtp", "content": mail_content()}
        answer = await either.client.post(either.url("/api/send"), json=fields, headers={"idempotency-key": key})
        check(either, answer, 10017, 400, "wrong_type")


WITH_NUL: list[Any] = [
    {"other": "\x00"},
    {"ot\x00her": 1},
    {"other": [{"deep": "\x00"}]},
    {"account": "\x00"},
]


async def test_10017_u0000_in_a_field_without_a_code_of_its_own(either: RunningGateway) -> None:
    token = await either.user()
    for extra in WITH_NUL:
        reason = "unknown_field" if either.is_v2 and "account" not in extra else "wrong_type"
        check(either, await either.send(token=token, **extra), 10017, 400, reason)


def mail_content() -> dict[str, str]:
    return {"subject": "开会通知", "text": "下午两点半"}


async def follow(opened: RunningGateway) -> None:
    """Publish followers as sender-wechat does: TAG follows `main`, GONE_TAG has left it, OTHER_TAG follows `other`."""
    await opened.redis.call("SADD", followers_key("main"), TAG, FOLLOWERS_COMPLETE)
    await opened.redis.call("SADD", left_key("main"), GONE_TAG)
    await opened.redis.call("SADD", followers_key("other"), OTHER_TAG, FOLLOWERS_COMPLETE)
