"""The path decides: v1 has the document's keys alone and always 200; v2 has all keys, and refuses unknown fields."""

from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from starlette.responses import JSONResponse

from imsg_contract.topology import Lane
from imsg_gateway.v1 import HEADER_BYTES, PRINTED, percent_encode, write_ignored
from imsg_testing.api_versions import read_answer
from imsg_testing.gateway import RunningGateway, call_past_httpx, mail, run_gateway
from imsg_web.hosts import HostCheck, Hosts

FIVE = [
    ("POST", "/api/login"),
    ("POST", "/api/register"),
    ("POST", "/api/send"),
    ("POST", "/api/modify/zhang"),
    ("GET", "/api/query"),
]

KEYS = {"errorCode", "errorMessage"}


def is_of_v1(answer: httpx.Response, **fields: object) -> None:
    """Check v1's form of an answer: 200, and these keys beside the two."""
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert set(answer.json()) == KEYS | set(fields)
    assert {name: answer.json()[name] for name in fields} == fields


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_send_answers_with_the_two_keys_and_the_rest_in_headers(gateway: RunningGateway, slash: str) -> None:
    token = await gateway.user()
    body = mail(token=token, to=["li@example.com", "LI@example.com", "wang@example.com"])
    answer = await gateway.client.post(f"/api/send{slash}", json=body)
    is_of_v1(answer)
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert answer.headers["x-imsg-id"] == job.request
    assert answer.headers["x-imsg-count"] == str(len(job.recipients))
    assert "x-imsg-segments" not in answer.headers
    assert "location" not in answer.headers
    assert "ratelimit" in answer.headers
    sms = await gateway.client.post("/api/send", json=mail(token=token, method="sms", to="13800138000", content="雨"))
    is_of_v1(sms)
    assert sms.headers["x-imsg-segments"] == "1"


async def test_a_repeated_send_returns_the_same_headers(gateway: RunningGateway) -> None:
    body, key = mail(token=await gateway.user()), {"idempotency-key": "once"}
    first = await gateway.client.post("/api/send", json=body, headers=key)
    again = await gateway.client.post("/api/send", json=body, headers=key)
    is_of_v1(again)
    assert again.headers["idempotent-replayed"] == "true"
    assert read_answer(again) == read_answer(first)


async def test_v2_answers_in_the_body_and_sends_no_header_of_v1(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await gateway.client.post("/api/v2/messages", json=mail(token=token))
    refused = await gateway.client.post("/api/v2/messages", json=mail(token=token, to=5))
    assert answer.status_code == 202
    assert answer.json()["count"] == 1
    assert answer.headers["location"] == f"/api/v2/requests/{answer.json()['id']}"
    assert refused.json()["reason"] == "recipients_invalid"
    assert "location" not in refused.headers
    assert not [name for name in (*answer.headers, *refused.headers) if name.startswith("x-imsg-")]


@pytest.mark.parametrize(("verb", "path"), FIVE)
async def test_every_refusal_of_v1_has_two_keys_and_200(gateway: RunningGateway, verb: str, path: str) -> None:
    token = await gateway.user()
    wrong_verb = "DELETE"
    refusals = {
        "not_json": await gateway.client.request(verb, path, content=b"{"),
        "not_an_object": await gateway.client.request(verb, path, content=b"[]"),
        "too_large": await gateway.client.request(verb, path, content=b" " * (16 * 1024 * 1024 + 1)),
        "no_such_method": await gateway.client.request(wrong_verb, path),
    }
    if path != "/api/login":
        refusals["token_missing"] = await gateway.client.request(verb, path, json={})
        refusals["token_invalid"] = await gateway.client.request(verb, path, json={"token": "x"})
    if "modify" in path or "register" in path:
        refusals["no_right"] = await gateway.client.request(verb, path, json={"token": token})
    for reason, answer in refusals.items():
        is_of_v1(answer)
        assert answer.headers["x-imsg-reason"] == reason
        assert unquote(answer.headers["x-imsg-detail"])


@pytest.mark.parametrize("path", ["/api/modify", "/api/modify/a/b", "/api/modify/..", "/api/modify/"])
async def test_below_modify_what_is_nowhere_is_answered_in_v1s_form(gateway: RunningGateway, path: str) -> None:
    answer = await call_past_httpx(gateway, {"path": path, "raw_path": b"/", "query_string": b"", "method": "POST"}, {})
    is_of_v1(answer)
    assert answer.headers["x-imsg-reason"] == "no_such_url"


async def test_a_code_whose_text_holds_the_detail_keeps_it_in_v1(gateway: RunningGateway) -> None:
    answer = await gateway.client.post("/api/send", json=mail(token=await gateway.user(available=False)))
    is_of_v1(answer)
    detail = unquote(answer.headers["x-imsg-detail"])
    assert answer.json() == {"errorCode": 10016, "errorMessage": f"见详情：{detail}"}


async def test_a_crash_is_answered_in_v1s_form(store_url: str) -> None:
    async with run_gateway(store_url) as opened:
        opened.auth.answer = JSONResponse({}, 200, {"content-type": "text/json"})
        opened.auth.answer.body = b"\xff"
        opened.auth.answer.headers["content-length"] = "1"
        answer = await opened.client.post("/api/login", json={})
        is_of_v1(answer)
        assert answer.headers["x-imsg-reason"] == "bug"
        assert answer.json()["errorCode"] == 10012


async def test_a_gateway_that_is_not_open_answers_in_the_form_of_the_path(store_url: str) -> None:
    async with run_gateway(store_url) as opened:
        service = opened.service
        api, service._api = service._api, None
        for verb, path in FIVE:
            is_of_v1(answer := await opened.client.request(verb, f"{path}/", json={}))
            assert (answer.headers["x-imsg-reason"], answer.headers["retry-after"]) == ("unavailable", "3")
        assert (await opened.client.post("/api/v2/messages", json={})).status_code == 503
        service._api = api


async def test_another_hosts_name_is_refused_in_v1s_form(gateway: RunningGateway) -> None:
    named = HostCheck(gateway.service, Hosts(gateway.service.settings), gateway.service.refuse)
    transport = httpx.ASGITransport(named)
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        is_of_v1(answer := await client.post("/api/send", json={}))
        assert answer.headers["x-imsg-reason"] == "wrong_host"
        assert (await client.post("/api/v2/messages", json={})).status_code == 421


async def test_what_an_owner_adds_is_not_printed_in_v1(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    gateway.auth.answer = JSONResponse(
        {"errorCode": 0, "errorMessage": "OK", "token": "t", "expires_in": 60, "id": "u1"},
        200,
        {"X-IMSG-Expires-In": "60"},
    )
    login = await gateway.client.post("/api/login", json={"username": "zhang", "password": "x"})
    is_of_v1(login, token="t")
    assert login.headers["x-imsg-expires-in"] == "60"
    for path in ("/api/register", "/api/modify/zhang"):
        is_of_v1(await gateway.client.post(path, json={"token": token}))
    v2 = await gateway.client.post("/api/v2/login", json={"username": "zhang", "password": "x"})
    assert v2.json()["expires_in"] == 60


async def test_a_page_of_messages_goes_through_v1_unread(gateway: RunningGateway) -> None:
    given = {"errorCode": 0, "errorMessage": "OK", "messages": [{"id": "a-0"}], "next": None}
    gateway.history.answer = JSONResponse(given)
    answer = await gateway.client.get("/api/query", params={"token": await gateway.user()})
    is_of_v1(answer, messages=given["messages"], next=None)


async def test_v1_ignores_what_it_does_not_list_and_names_it(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    fields = mail(token=token, reference="r-1", expires_in=60, 主题="您好", to=..., content=...)
    refused = await gateway.client.post("/api/send", json=fields)
    is_of_v1(refused)
    assert refused.headers["x-imsg-reason"] == "missing"
    assert unquote(refused.headers["x-imsg-ignored"]) == "reference,expires_in,主题"
    answer = await gateway.client.post("/api/send?v=1", json=mail(token=token, reference="r-1", expires_in=60))
    is_of_v1(answer)
    assert answer.headers["x-imsg-ignored"] == "reference,expires_in,v"
    await gateway.client.post("/api/register", json={"token": token, "username": "li", "may_send_codes": True})
    assert gateway.auth.relayed[-1].body == b'{"username":"li"}'
    await gateway.client.get("/api/query", params={"token": token, "reference": "r-1", "status": "sent"})
    assert gateway.history.relayed[-1].query == "status=sent"


@pytest.mark.parametrize(
    ("asked", "fields", "field", "meant"),
    [
        ("POST /api/v2/messages", {"attachement": []}, "attachement", "attachment"),
        ("POST /api/v2/messages", {"TO": "li"}, "TO", "to"),
        ("POST /api/v2/messages", mail(content={"subject": "a", "txt": "b"}), "content.txt", "content.text"),
        (
            "POST /api/v2/messages",
            mail(attachment=[{"name": "a", "file": ""}]),
            "attachment.0.name",
            "attachment.0.filename",
        ),
        ("POST /api/v2/resend", {"uncertian": True}, "uncertian", "uncertain"),
        ("PATCH /api/v2/channels/smtp", {"pause": True}, "pause", "paused"),
    ],
)
async def test_v2_refuses_an_unknown_field_and_suggests_the_nearest(
    gateway: RunningGateway, asked: str, fields: dict[str, Any], field: str, meant: str
) -> None:
    verb, path = asked.split()
    token = await gateway.user(role="admin")
    headers = {"authorization": f"Bearer {token}", "accept-language": "en"}
    answer = await gateway.client.request(verb, path, json=fields, headers=headers)
    assert (answer.status_code, answer.json()["errorCode"], answer.json()["reason"]) == (400, 10017, "unknown_field")
    assert answer.json()["detail"] == f"There is no field {field}; you probably mean {meant}."
    forged = await gateway.client.request(verb, path, json=fields | {"token": "x"})
    assert forged.json()["reason"] == "token_invalid"


async def test_v2_lists_the_fields_where_none_is_near(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await gateway.client.post("/api/v2/resend", json={"token": token, "xyz": 1})
    assert answer.json()["detail"] == "没有 xyz 这个参数；可用的有：again、id、uncertain。"
    nothing = await gateway.client.get("/api/v2/channels", params={"token": token, "x": 1})
    assert nothing.json()["detail"] == "没有 x 这个参数；这个接口不需要参数。"


async def test_a_token_in_the_query_beside_one_in_the_body_is_no_stray(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await gateway.client.request("GET", "/api/v2/messages?token=x&limit=5", json={"token": token})
    assert answer.json()["errorCode"] == 0
    assert gateway.history.relayed[-1].query == "limit=5"


async def test_an_owner_that_lacks_a_path_is_away(gateway: RunningGateway) -> None:
    gateway.history.answer = JSONResponse({"errorCode": 10001, "reason": "no_such_url"}, 404)
    answer = await gateway.client.get("/api/v2/stats", params={"token": await gateway.user()})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    gateway.history.answer = JSONResponse({"errorCode": 10016, "reason": "not_found"}, 404)
    answer = await gateway.client.get("/api/v2/stats", params={"token": await gateway.user()})
    assert answer.status_code == 404


@pytest.mark.parametrize("text", ["天" * 2_000, "a%b c" * 500, "\ud800" * 2_000, "😀" * 300, "x" * 1_023 + "天"])
def test_a_header_is_cut_between_two_characters(text: str) -> None:
    encoded = percent_encode(text)
    assert HEADER_BYTES - 12 < len(encoded) <= HEADER_BYTES
    assert text.encode(errors="replace").decode().startswith(unquote(encoded, errors="strict"))


def test_ignored_names_are_cut_between_two_names() -> None:
    told = write_ignored([f"字段{i}" for i in range(200)])
    assert 900 < len(told) <= HEADER_BYTES
    assert [unquote(name) for name in told.split(",")] == [f"字段{i}" for i in range(len(told.split(",")))]


def test_the_documents_urls_are_five() -> None:
    assert set(PRINTED) == {"/api/login", "/api/register", "/api/send", "/api/modify", "/api/query"}
