"""POST /api/v2/messages/check: what a send would meet, nothing sent and nothing counted."""

from typing import Any

import pytest
from starlette.responses import JSONResponse

from imsg_contract.topology import FOLLOWERS_COMPLETE, followers_key, left_key
from imsg_testing.gateway import ME, RunningGateway, User, mail, run_gateway


async def check(opened: RunningGateway, **fields: Any) -> Any:  # noqa: ANN401  any JSON
    """Check a sound mail but for these fields; return the answer's object."""
    opened.auth.answer = JSONResponse(ME)
    return (await opened.client.post("/api/v2/messages/check", json=mail(**fields))).json()


async def test_it_counts_who_would_get_it_and_names_who_would_not(gateway: RunningGateway) -> None:
    token = await gateway.user()
    gateway.auth.users["王五"] = User(contacts={"smtp": "wang@example.com"})
    gateway.auth.users["赵六"] = User()
    to = ["li@example.com", "li@example.com", "王五", "wang@example.com", "赵六", "nobody", "no one@", "13800138000"]
    answer = await check(gateway, token=token, to=to)
    assert (answer["errorCode"], answer["count"], answer["duplicates"]) == (0, 3, 1)
    assert (answer["segments"], answer["suppressed"], answer["problems_total"]) == (None, 0, 4)
    assert {problem["to"]: problem["reason"] for problem in answer["problems"]} == dict.fromkeys(
        ("no one@", "13800138000", "赵六", "nobody"), "recipients_invalid"
    )
    assert (answer["available"], answer["quotas"]) == (True, ME["quotas"])
    assert await gateway.waiting() == 0
    assert await gateway.redis.call("KEYS", "imsg:used:*") == []


@pytest.mark.parametrize(("role", "counts"), [("user", (2, 0)), ("admin", (1, 1))])
async def test_only_administrators_learn_that_a_name_and_an_address_are_one_person(
    gateway: RunningGateway, role: str, counts: tuple[int, int]
) -> None:
    gateway.auth.users["王五"] = User(contacts={"smtp": "wang@example.com"})
    answer = await check(gateway, token=await gateway.user(role=role), to=["王五", "Wang@example.com"])
    assert (answer["count"], answer["duplicates"]) == counts


async def test_problems_are_a_hundred_at_most_and_in_english_too(gateway: RunningGateway) -> None:
    token = await gateway.user()
    gateway.auth.answer = JSONResponse(ME)
    body = mail(token=token, to=[f"a/{n}" for n in range(101)])
    answer = await gateway.client.post("/api/v2/messages/check", json=body, headers={"accept-language": "en"})
    assert answer.json()["errorCode"] == 0, answer.text
    assert (len(answer.json()["problems"]), answer.json()["problems_total"], answer.json()["count"]) == (100, 101, 0)
    assert answer.json()["problems"][0]["detail"].startswith("This recipient is not right")


async def test_segments_are_those_of_who_would_get_it(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await check(
        gateway, token=token, method="sms", to=["13800138000", "13800138001", "x/y"], content="雨" * 71
    )
    assert (answer["count"], answer["segments"]) == (2, 4)


async def test_followers_who_left_are_problems(store_url: str) -> None:
    async with run_gateway(store_url, wechat={"accounts": {"main": {}}}) as opened:
        token = await opened.user()
        await opened.redis.call("SADD", followers_key("main"), "84G-7ZW-YRB", FOLLOWERS_COMPLETE)
        await opened.redis.call("SADD", left_key("main"), "D6Z-1RV-0WY")
        to = ["84G-7ZW-YRB", "D6Z-1RV-0WY", "HE6-M11-100"]
        answer = await check(opened, token=token, method="wechat", to=to, content="雨")
        found = {problem["to"]: problem["reason"] for problem in answer["problems"]}
        assert found == {"D6Z-1RV-0WY": "not_following", "HE6-M11-100": "recipients_invalid"}
        assert (answer["count"], answer["problems_total"]) == (1, 2)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"content": {"subject": ""}}, "content_shape"),
        ({"to": []}, "recipients_invalid"),
        ({"method": "fax"}, "method_unknown"),
        ({"refrence": "a"}, "unknown_field"),
        ({"expires_in": 1}, "wrong_type"),
        ({"attachment": {"filename": "a", "file": "?"}}, "attachment_shape"),
    ],
)
async def test_what_is_wrong_with_the_whole_is_refused_as_a_send_is(
    gateway: RunningGateway, fields: dict[str, Any], reason: str
) -> None:
    assert (await check(gateway, token=await gateway.user(), **fields))["reason"] == reason


async def test_guesses_count_as_those_of_a_send_do(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await check(gateway, token=token, to=[*(f"guess{n}" for n in range(101)), "no@one@", "li@example.com"])
    assert (answer["count"], answer["problems_total"], len(answer["problems"])) == (1, 102, 100)
    assert answer["problems"][0]["to"] == "no@one@"
    assert (await check(gateway, token=token, to="guess101"))["reason"] == "too_many_tries"
    assert (await gateway.send(token=token, to="guess102")).json()["reason"] == "too_many_tries"


MALFORMED = {
    "smtp": ("zhang{n}@", "@{n}.example.com", "zhang{n}＠＠163.com", "{n}-{n}", "{n}"),
    "sms": ("1380013{n}", "+86 {n}", "1.38E+{n}", "{n}；", "li{n}@example.com", "#N/A{n}", "电话：{n}a"),
    "wechat": ("ABC-{n:03}-DEF", "{n:09}", "wx{n}@"),
}


@pytest.mark.parametrize("method", MALFORMED)
async def test_malformed_addresses_are_named_and_never_counted_as_guesses(store_url: str, method: str) -> None:
    async with run_gateway(store_url, wechat={"accounts": {"main": {}}}) as opened:
        token = await opened.user()
        opened.auth.users["王五"] = User(contacts={"smtp": "w@a.cn", "sms": "+8613800138000", "wechat": "84G-7ZW-YRB"})
        await opened.redis.call("SADD", followers_key("main"), "84G-7ZW-YRB", FOLLOWERS_COMPLETE)
        sent: dict[str, Any] = {"token": token, "method": method}
        sent["content"] = {"subject": "a", "text": "b"} if method == "smtp" else "您好"
        for form in MALFORMED[method]:
            typos = [form.format(n=n) for n in range(200, 301)]
            answer = await check(opened, **sent, to=typos)
            assert {problem["reason"] for problem in answer["problems"]} == {"recipients_invalid"}
            assert answer["problems_total"] >= 100, "of 101 tags a few have the right check character"
            assert (await opened.send(**sent, to=typos)).json()["reason"] == "recipients_invalid"
        assert (await opened.send(**sent, to="王五")).json()["errorCode"] == 0


@pytest.mark.parametrize(("senders", "reason"), [(None, None), (["news"], None), (["alerts"], "may_not_send_by")])
async def test_a_sender_that_is_not_the_users_is_refused_as_a_send_is(
    gateway: RunningGateway, senders: object, reason: str | None
) -> None:
    gateway.auth.answer = JSONResponse({**ME, "senders": senders})
    body = mail(token=await gateway.user(), sender="news")
    answer = (await gateway.client.post("/api/v2/messages/check", json=body)).json()
    assert answer.get("reason") == reason


async def test_countries_that_the_user_may_not_send_to_are_named(gateway: RunningGateway) -> None:
    gateway.auth.answer = JSONResponse({**ME, "sms_countries": ["CN", "HK"]})
    to = ["13800138000", "+85291234567", "+85366123456", "+886912345678", "+14165550123"]
    fields = {"token": await gateway.user(), "method": "sms", "to": to, "content": "天黑了"}
    answer = (await gateway.client.post("/api/v2/messages/check", json=fields)).json()
    assert (answer["count"], answer["problems_total"]) == (2, 3)
    assert [(problem["to"], problem["reason"]) for problem in answer["problems"]] == [
        (number, "country_not_allowed") for number in to[2:]
    ]
    assert answer["segments"] == 2


@pytest.mark.parametrize(("role", "who"), [("user", "请联系管理员在用户设置"), ("admin", "请在用户设置")])
async def test_a_refused_country_names_the_role_that_can_allow_it(gateway: RunningGateway, role: str, who: str) -> None:
    gateway.auth.answer = JSONResponse({**ME, "role": role, "sms_countries": ["CN"]})
    fields = {"token": await gateway.user(), "method": "sms", "to": ["+85291234567"], "content": "天黑了"}
    answer = (await gateway.client.post("/api/v2/messages/check", json=fields)).json()
    (problem,) = answer["problems"]
    assert (answer["count"], answer["segments"]) == (0, 0)
    assert "HK" in problem["detail"]
    assert who in problem["detail"]
