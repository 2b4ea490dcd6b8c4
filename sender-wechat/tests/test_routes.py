"""The API of sender-wechat where no official account is configured."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from imsg_runtime.settings import load_without
from imsg_testing.callers import user
from imsg_web.callers import KEY_HEADER
from imsg_wechat.main import Settings, app

KEY = "a service key, long enough for all"


@pytest.mark.parametrize(
    ("verb", "path", "body", "expected"),
    [
        ("GET", "", None, {"errorCode": 0, "followers": [], "next": None, "accounts": []}),
        ("GET", "?tag=7K3-M9Q-2XH", None, {"errorCode": 0, "followers": []}),
        ("GET", "?account=main", None, {"reason": "no_such_account"}),
        ("GET", "?name=main", None, {"reason": "unknown_field"}),
        ("POST", "/bind", {"account": "main", "username": "li.wei"}, {"reason": "no_such_account"}),
        ("GET", "/bind/1", None, {"reason": "not_found"}),
        ("POST", "/7K3-M9Q-2XH/renew", None, {"reason": "not_found"}),
        ("DELETE", "/7K3-M9Q-2XH", None, {"reason": "not_found"}),
    ],
)
async def test_without_accounts_there_are_no_followers(
    valkey_url: str, verb: str, path: str, body: dict[str, str] | None, expected: dict[str, Any]
) -> None:
    given = {"redis_url": valkey_url, "broker_url": valkey_url, "history_url": "http://history"}
    service = app(load_without(Settings, "wechat", service_key=(SecretStr(KEY),), **given))
    headers = {KEY_HEADER: KEY, **user("admin", role="admin").headers()}
    transport = httpx.ASGITransport(service)
    async with service.running(), httpx.AsyncClient(transport=transport, base_url="http://wechat") as client:
        answer = await client.request(verb, f"/api/followers{path}", json=body, headers=headers)
        described = (await client.get("/openapi.json", headers={KEY_HEADER: KEY})).json()
    assert answer.json().items() >= expected.items()
    assert "/api/followers/bind/{id}/confirm" in described["paths"]
