"""What other services answer: who may ask, what reaches them, and their answers unread."""

import json

import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from imsg_gateway.relay import RELAYED
from imsg_gateway.routes import Right
from imsg_testing.gateway import SERVICE_KEY, World, world


@pytest.mark.parametrize(("verb", "path", "right", "owner", "_"), RELAYED)
async def test_every_relayed_url_asks_for_its_right_and_reaches_its_owner(
    gateway: World, verb: str, path: str, right: Right, owner: str, _: object
) -> None:
    named = path.replace("{}", "name")
    admin, user = await gateway.user("admin", role="admin"), await gateway.user()
    unmarked = await gateway.client.request(verb, named, json={})
    refused = await gateway.client.request(verb, named, json={"token": user})
    taken = await gateway.client.request(verb, named, json={"token": admin})
    assert unmarked.json()["errorCode"] == (0 if right is Right.OPEN else 10002)
    assert refused.json().get("reason") == ("no_right" if right is Right.ADMIN else None)
    assert taken.json()["errorCode"] == 0
    reached = (gateway.auth if owner == "auth" else gateway.history).relayed[-1]
    assert (reached.verb, reached.path) == (verb, named)
    assert reached.headers["x-imsg-key"] == SERVICE_KEY.get_secret_value()
    assert reached.headers.get("x-imsg-role") == (None if right is Right.OPEN else "admin")


async def test_a_relayed_body_is_clean_json_without_the_token(gateway: World) -> None:
    token = await gateway.user("管理员", role="admin")
    body = f'\ufeff{{"token": "{token}", "per_day": 20, "per_day": 30, "per_hour": 5.0, "名": "\\u5f20"}}'
    answer = await gateway.client.post("/api/modify/天存-system-1001/", content=body.encode())
    reached = gateway.auth.relayed[-1]
    assert answer.json()["errorCode"] == 0
    assert reached.path == "/api/modify/%E5%A4%A9%E5%AD%98-system-1001"
    assert reached.body.decode() == '{"per_day":30,"per_hour":5.0,"名":"张"}'
    assert reached.headers["content-type"].startswith("application/json")
    assert reached.headers["x-imsg-caller"] == "%E7%AE%A1%E7%90%86%E5%91%98"
    assert reached.headers["x-imsg-token"] == token


async def test_a_relayed_query_is_whole_but_for_the_token(gateway: World) -> None:
    token = await gateway.user()
    query = f"to=li%40example.com&token={token}&since=2026-01-01T00%3A00%3A00%2B08%3A00&cursor=&名=天"
    await gateway.client.get(f"/api/query?{query}")
    reached = gateway.history.relayed[-1]
    assert reached.query == "to=li%40example.com&since=2026-01-01T00%3A00%3A00%2B08%3A00&cursor=&%E5%90%8D=%E5%A4%A9"
    assert reached.body == b""


@pytest.mark.parametrize(
    "path", ["/api/users/%2E%2E", "/api/users/%2E", "/api/users/a%2Fb", "/api/users/%00", "/api/users/a/b", "/api//me"]
)
async def test_tricks_in_a_path_lead_nowhere(gateway: World, path: str) -> None:
    token = await gateway.user(role="admin")
    answer = await gateway.client.get(path, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "no_such_url")
    assert gateway.auth.relayed == []


async def test_internal_urls_are_nowhere_to_be_reached(gateway: World) -> None:
    token = await gateway.user(role="admin")
    for path in ("/internal/mirror", "/internal/contacts", "/api/internal/mirror", "/internal/resend/x"):
        answer = await gateway.client.post(path, json={"token": token, "username": "zhang"})
        assert answer.json()["reason"] == "no_such_url"
    assert gateway.auth.mirrored == []


async def test_the_owners_answer_comes_through_unread(either_mode: World) -> None:
    given = {"errorCode": 10007, "errorMessage": "密码错误", "reason": "wrong_password", "detail": "…"}
    either_mode.auth.answer = JSONResponse(given, 401, {"retry-after": "5", "x-internal": "secret"})
    answer = await either_mode.client.post("/api/login", json={"username": "a", "password": "b"})
    assert answer.json() == given
    assert answer.status_code == (401 if either_mode.is_truthful else 200)
    assert answer.headers["retry-after"] == "5"
    assert "x-internal" not in answer.headers


async def test_urls_beyond_the_document_always_use_the_truthful_status(either_mode: World) -> None:
    assert (await either_mode.client.get("/api/me")).status_code == 400
    assert (await either_mode.client.get("/api/me?token=x")).status_code == 401
    assert (await either_mode.client.post("/api/me")).status_code == 405
    assert (await either_mode.client.get("/nothing")).status_code == 404


async def test_an_owner_that_does_not_speak_json_is_away(gateway: World) -> None:
    gateway.auth.answer = PlainTextResponse("Bad Gateway", 502)
    answer = await gateway.client.post("/api/login", json={})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")


@pytest.mark.parametrize("field", ["username", "us\x00er"])
async def test_u0000_goes_to_no_owner(gateway: World, field: str) -> None:
    answer = await gateway.client.post("/api/login", json={field: "a\x00b", "password": "x"})
    assert answer.json()["errorCode"] == 10017
    token = await gateway.user()
    answer = await gateway.client.get(f"/api/query?token={token}&to=%00")
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
async def test_a_clients_address_is_what_trusted_proxies_say(
    store_url: str, trusted: tuple[str, ...], forwarded: str, seen: str
) -> None:
    async with world(store_url, trusted_proxies=trusted) as opened:
        await opened.client.post("/api/login", json={}, headers={"x-forwarded-for": forwarded})
        assert opened.auth.relayed[-1].headers["x-imsg-address"] == seen


async def test_odd_header_bytes_are_no_bug(gateway: World) -> None:
    odd = {b"accept-language": "天".encode(), b"authorization": "Bearer 天".encode(), b"x-forwarded-for": b"\xff"}
    assert (await gateway.client.post("/api/login", json={}, headers=odd)).json()["errorCode"] == 0
    assert (await gateway.client.get("/api/me", headers=odd)).json()["errorCode"] == 10005


async def test_a_body_that_is_no_json_is_refused_on_every_url(gateway: World) -> None:
    for verb, path in (("POST", "/api/login"), ("POST", "/api/logout"), ("GET", "/api/query")):
        answer = await gateway.client.request(verb, path, content=b"username=a")
        assert answer.json()["errorCode"] == 10001
    token = await gateway.user()
    answer = await gateway.client.post("/api/logout", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["errorCode"] == 0
    assert json.loads(gateway.auth.relayed[-1].body) == {}
    assert (await gateway.client.post("/api/password", headers={"authorization": f"Bearer {token}"})).json()[
        "reason"
    ] == "not_json"
