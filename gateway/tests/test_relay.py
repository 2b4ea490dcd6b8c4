"""What other services answer: who may ask, what reaches them, and their answers unread."""

import asyncio
import json
import re

import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from imsg_gateway.routes.relayed import RELAYED
from imsg_testing.api_versions import read_answer
from imsg_testing.gateway import SERVICE_KEY, RunningGateway, run_gateway


@pytest.mark.parametrize(("owner", "route"), [(owner, route) for owner in RELAYED for route in RELAYED[owner]])
async def test_every_relayed_route_wants_a_token_and_reaches_its_owner(
    gateway: RunningGateway, owner: str, route: str
) -> None:
    verb, path = re.sub(r"{\w+}", "name", route).split()
    admin = await gateway.user("admin", role="admin")
    unmarked = await gateway.client.request(verb, f"/api/v2{path}")
    taken = await gateway.client.request(verb, f"/api/v2{path}", params={"token": admin})
    assert unmarked.json()["errorCode"] == 10002
    assert taken.json()["errorCode"] == 0
    reached = getattr(gateway, owner).relayed[-1]
    assert (reached.verb, reached.path) == (verb, f"/api{path}")
    assert reached.headers["x-imsg-key"] == SERVICE_KEY.get_secret_value()
    assert reached.headers["x-imsg-role"] == "admin"


@pytest.mark.parametrize("path", ["/api/v2/users/张", "/api/v2/users/张/"])
async def test_an_old_path_is_an_alias_of_v2(gateway: RunningGateway, path: str) -> None:
    token = await gateway.user(role="admin")
    answer = await gateway.client.patch(path, json={"token": token, "role": "user"})
    assert answer.json()["errorCode"] == 0
    (reached,) = gateway.auth.relayed
    assert (reached.verb, reached.path) == ("PATCH", "/api/users/%E5%BC%A0")


@pytest.mark.parametrize("path", ["/api/messages", "/api/v2/send", "/api/v2/query", "/api/v1/send", "/api/v2"])
async def test_what_never_stood_somewhere_is_not_there_now(gateway: RunningGateway, path: str) -> None:
    for verb in ("GET", "POST"):
        answer = await gateway.client.request(verb, path, json={})
        assert (answer.status_code, answer.json()["reason"]) == (404, "no_such_url")


async def test_a_relayed_body_is_clean_json_without_the_token(gateway: RunningGateway) -> None:
    token = await gateway.user("管理员", role="admin")
    body = f'\ufeff{{"token": "{token}", "per_day": 20, "per_day": 30, "per_hour": 5.0, "available": "\\u5f20"}}'
    answer = await gateway.client.post("/api/modify/天存-system-1001/", content=body.encode())
    reached = gateway.auth.relayed[-1]
    assert answer.json()["errorCode"] == 0
    assert reached.path == "/api/modify/%E5%A4%A9%E5%AD%98-system-1001"
    assert reached.body.decode() == '{"per_day":30,"per_hour":5.0,"available":"张"}'
    assert reached.headers["content-type"].startswith("application/json")
    assert reached.headers["x-imsg-caller"] == "%E7%AE%A1%E7%90%86%E5%91%98"
    assert reached.headers["x-imsg-token"] == token


async def test_a_relayed_query_is_whole_but_for_the_token(gateway: RunningGateway) -> None:
    token = await gateway.user()
    query = f"to=li%40example.com&token={token}&since=2026-01-01T00%3A00%3A00%2B08%3A00&cursor=&username=天"
    await gateway.client.get(f"/api/query?{query}")
    reached = gateway.history.relayed[-1]
    assert reached.query == "to=li%40example.com&since=2026-01-01T00%3A00%3A00%2B08%3A00&cursor=&username=%E5%A4%A9"
    assert reached.body == b""


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/users/%2E%2E",
        "/api/v2/users/%2E",
        "/api/v2/users/a%2Fb",
        "/api/v2/users/%00",
        "/api/v2/users/a/b",
        "/api//me",
    ],
)
async def test_tricks_in_a_path_lead_nowhere(gateway: RunningGateway, path: str) -> None:
    token = await gateway.user(role="admin")
    answer = await gateway.client.get(path, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "no_such_url")
    assert gateway.auth.relayed == []


async def test_internal_urls_are_nowhere_to_be_reached(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    for path in ("/internal/user-cache", "/internal/contacts", "/api/internal/user-cache", "/internal/resend/x"):
        answer = await gateway.client.post(path, json={"token": token, "username": "zhang"})
        assert answer.json()["reason"] == "no_such_url"
    assert gateway.auth.cached == []


async def test_the_owners_answer_comes_through_unread(gateway: RunningGateway) -> None:
    given = {"errorCode": 10007, "errorMessage": "密码错误", "reason": "wrong_password", "detail": "…"}
    told = {"retry-after": "5", "x-internal": "secret"}
    gateway.auth.answer = JSONResponse(given, 401, told)
    answer = await gateway.client.post("/api/v2/login", json={"username": "a", "password": "b"})
    assert answer.json() == given
    assert answer.status_code == 401
    assert answer.headers["retry-after"] == "5"
    assert "x-imsg-reason" not in answer.headers
    assert "x-internal" not in answer.headers


async def test_urls_beyond_the_document_use_the_tables_status(gateway: RunningGateway) -> None:
    assert (await gateway.client.get("/api/v2/me")).status_code == 400
    assert (await gateway.client.get("/api/v2/me?token=x")).status_code == 401
    assert (await gateway.client.post("/api/v2/me")).status_code == 405
    assert (await gateway.client.get("/nothing")).status_code == 404


async def test_an_owner_that_does_not_speak_json_is_away(gateway: RunningGateway) -> None:
    gateway.auth.answer = PlainTextResponse("Bad Gateway", 502)
    answer = await gateway.client.post("/api/v2/login", json={})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")


@pytest.mark.parametrize("field", ["username", "us\x00er"])
async def test_u0000_goes_to_no_owner(gateway: RunningGateway, field: str) -> None:
    answer = await gateway.client.post("/api/v2/login", json={field: "a\x00b", "password": "x"})
    assert answer.json()["errorCode"] == 10017
    token = await gateway.user()
    answer = await gateway.client.get(f"/api/v2/messages?token={token}&to=%00")
    assert answer.json()["errorCode"] == 10017
    assert gateway.auth.relayed == []
    assert gateway.history.relayed == []


@pytest.mark.parametrize(
    ("trusted", "forwarded", "seen"),
    [
        ((), "203.0.113.7", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.7", "203.0.113.7"),
        (("127.0.0.1",), "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (("127.0.0.1", "10.0.0.0/8"), "198.51.100.1, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        (("127.0.0.1",), "2001:db8::1", "2001:db8::1"),
        (("127.0.0.1",), "unknown, not an address", "127.0.0.1"),
        (("127.0.0.1",), "", "127.0.0.1"),
    ],
)
async def test_a_clients_address_is_what_trusted_proxies_report(
    store_url: str, trusted: tuple[str, ...], forwarded: str, seen: str
) -> None:
    async with run_gateway(store_url, trusted_proxies=trusted) as opened:
        await opened.client.post("/api/login", json={}, headers={"x-forwarded-for": forwarded})
        assert opened.auth.relayed[-1].headers["x-imsg-address"] == seen


async def test_odd_header_bytes_are_no_bug(gateway: RunningGateway) -> None:
    odd = {b"accept-language": "天".encode(), b"authorization": "Bearer 天".encode(), b"x-forwarded-for": b"\xff"}
    assert (await gateway.client.post("/api/v2/login", json={}, headers=odd)).json()["errorCode"] == 0
    assert (await gateway.client.get("/api/v2/me", headers=odd)).json()["errorCode"] == 10005


async def test_a_body_that_is_no_json_is_refused_on_every_url(gateway: RunningGateway) -> None:
    for verb, path in (("POST", "/api/login"), ("POST", "/api/v2/logout"), ("GET", "/api/query")):
        answer = await gateway.client.request(verb, path, content=b"username=a")
        assert answer.json()["errorCode"] == 10001
    token = await gateway.user()
    answer = await gateway.client.post("/api/v2/logout", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["errorCode"] == 0
    assert json.loads(gateway.auth.relayed[-1].body) == {}


@pytest.mark.parametrize("path", ["/api/query", "/api/v2/messages", "/api/v2/stats"])
async def test_a_query_is_given_up_after_the_time_of_a_query_while_its_owner_hangs(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Not after the time that a change has."""
    monkeypatch.setattr("imsg_gateway.relay.CALL_TIMEOUT_S", 0.1)
    monkeypatch.setattr("imsg_gateway.relay.CHANGE_TIMEOUT_S", 3_600.0)
    token = await gateway.user(role="admin")
    gateway.history.hangs = True
    async with asyncio.timeout(60):
        answer = await gateway.client.get(path, params={"token": token})
    assert (answer.json()["errorCode"], read_answer(answer)["reason"]) == (10012, "unavailable")
