"""API keys: taken wherever a token is, for what their scopes say, from their networks, until they are ended."""

import json
import time

import pytest

from imsg_contract import api_keys
from imsg_contract.topology import user_key
from imsg_testing.callers import id_of
from imsg_testing.gateway import RunningGateway, mail, run_gateway
from imsg_testing.waiting import eventually

QUERY = "/api/v2/messages"


async def test_a_key_is_taken_wherever_a_token_is(either: RunningGateway) -> None:
    await either.user()
    key = await either.key()
    url, bearer = either.url("/api/send"), {"authorization": f"Bearer {key}"}
    assert (await either.send(token=key)).json()["errorCode"] == 0
    assert (await either.client.post(url, json=mail(), headers=bearer)).json()["errorCode"] == 0
    assert (await either.client.post(f"{url}?token={key}", json=mail())).json()["errorCode"] == 0
    assert [job.user_id for job in await either.jobs(3)] == [id_of("zhang")] * 3


async def test_services_learn_which_key_was_shown(gateway: RunningGateway) -> None:
    await gateway.user()
    key = await gateway.key(name="图书馆 A", id="0" * 32)
    await gateway.client.get(QUERY, params={"token": key})
    headers = gateway.history.relayed[-1].headers
    assert headers["x-imsg-used-key"] == f"{'0' * 32} %E5%9B%BE%E4%B9%A6%E9%A6%86%20A"
    assert headers["x-imsg-caller"] == "zhang"


@pytest.mark.parametrize("is_warm", [True, False])
async def test_a_key_ends_at_once_even_when_redis_was_flushed(either: RunningGateway, is_warm: bool) -> None:  # noqa: FBT001
    await either.user()
    key, other = await either.key(), await either.key()
    if is_warm:
        assert (await either.send(token=key)).json()["errorCode"] == 0
    await either.end_key(key)
    assert (await either.send(token=key)).json()["errorCode"] == 10005
    await either.redis.call("DEL", user_key("zhang"))
    assert (await either.send(token=key)).json()["errorCode"] == 10005
    assert (await either.send(token=other)).json()["errorCode"] == 0


async def test_a_key_goes_on_after_redis_was_flushed(gateway: RunningGateway) -> None:
    await gateway.user()
    key = await gateway.key()
    for _ in range(2):
        await gateway.redis.call("DEL", user_key("zhang"))
        assert (await gateway.send(token=key)).json()["errorCode"] == 0


async def test_an_expired_an_unknown_and_a_mistyped_key_do_not_hold(gateway: RunningGateway) -> None:
    await gateway.user()
    expired = await gateway.key(expires_at=int(time.time()) - 1)
    unknown, nobodys = api_keys.make("live", id_of("zhang")), api_keys.make("live", id_of("nobody"))
    mistyped = (await gateway.key())[:-1] + "_"
    for key in (expired, unknown, nobodys, mistyped):
        for path in ("/api/v2/messages", "/api/v2/resend"):
            answer = await gateway.client.post(path, json=mail(token=key, id="0" * 32))
            assert (answer.status_code, answer.json()["errorCode"]) == (401, 10005)


async def test_a_key_of_a_name_that_is_registered_anew_does_not_hold(gateway: RunningGateway) -> None:
    await gateway.user()
    key = await gateway.key()
    assert (await gateway.send(token=key)).json()["errorCode"] == 0
    await gateway.user("zhang", id="f" * 32)
    assert (await gateway.send(token=key)).json()["errorCode"] == 10005


async def test_a_missing_scope_is_named_before_anything_is_looked_up_or_counted(either: RunningGateway) -> None:
    await either.user()
    key = await either.key(scopes=("query",))
    answer = await either.send(token=key, to="nobody-at-all")
    assert (answer.json()["errorCode"], answer.status_code) == (10016, 403 if either.is_v2 else 200)
    reason = answer.json()["reason"] if either.is_v2 else answer.headers["x-imsg-reason"]
    assert reason == "no_scope"
    assert "send:smtp" in answer.text or "send%3Asmtp" in answer.headers["x-imsg-detail"]
    check = await either.client.post("/api/v2/messages/check", json=mail(token=key))
    assert check.json()["reason"] == "no_scope"


async def test_a_scope_given_or_taken_away_counts_from_the_next_call_on(gateway: RunningGateway) -> None:
    await gateway.user()
    key = await gateway.key(scopes=("query",))
    assert (await gateway.send(token=key)).json()["reason"] == "no_scope"
    await gateway.change_key(key, scopes=("send:smtp",))
    assert (await gateway.send(token=key)).json()["errorCode"] == 0
    assert (await gateway.client.get(QUERY, params={"token": key})).json()["reason"] == "no_scope"
    await gateway.change_key(key, scopes=("query",))
    assert (await gateway.send(token=key)).json()["reason"] == "no_scope"


async def test_an_administrators_key_may_not_do_more_than_its_scopes(gateway: RunningGateway) -> None:
    await gateway.user(role="admin")
    key = await gateway.key(scopes=("query",))
    for verb, path in (("GET", "/api/v2/users"), ("POST", "/api/register"), ("POST", "/api/v2/erasures")):
        answer = await gateway.client.request(verb, path, json={"token": key})
        assert answer.json()["errorCode"] == 10016
    assert gateway.auth.relayed == []


async def test_a_users_key_may_not_do_more_than_its_user(gateway: RunningGateway) -> None:
    await gateway.user()
    key = await gateway.key(scopes=("channels",))
    answer = await gateway.client.patch("/api/v2/channels/smtp", json={"token": key, "paused": True})
    assert answer.json()["reason"] == "no_right"


@pytest.mark.parametrize(
    ("verb", "path"),
    [("POST", "/api/v2/keys"), ("GET", "/api/v2/keys"), ("POST", "/api/v2/password"), ("POST", "/api/v2/logout")],
)
async def test_no_key_manages_keys_or_passwords(gateway: RunningGateway, verb: str, path: str) -> None:
    await gateway.user(role="admin")
    key = await gateway.key(scopes=("query", "users"))
    answer = await gateway.client.request(verb, path, json={"token": key})
    assert (answer.status_code, answer.json()["reason"]) == (403, "not_by_key")
    assert gateway.auth.relayed == []


async def test_a_key_is_taken_from_its_networks_alone_also_behind_proxies(store_url: str) -> None:
    async with run_gateway(store_url, trusted_proxies=("127.0.0.0/8",)) as gateway:
        await gateway.ready()
        await gateway.user()
        key = await gateway.key(networks=("192.0.2.0/24", "2001:db8::/32"))

        async def send(address: str) -> object:
            headers = {"x-forwarded-for": address}
            answer = await gateway.client.post("/api/v2/messages", json=mail(token=key), headers=headers)
            return answer.json().get("reason", answer.json()["errorCode"])

        assert await send("198.51.100.7") == "network_not_allowed"
        assert [await send(address) for address in ("192.0.2.9", "2001:db8::1", "::ffff:192.0.2.1")] == [0, 0, 0]
        assert await send("198.51.100.7, 192.0.2.9") == 0
        assert await send("192.0.2.9, 198.51.100.7") == "network_not_allowed"
        await gateway.change_key(key, networks=("198.51.100.7/32",))
        assert await send("192.0.2.9") == "network_not_allowed"
        assert await send("198.51.100.7") == 0


async def test_auth_learns_when_and_from_where_a_key_was_used(gateway: RunningGateway) -> None:
    await gateway.user()
    key = await gateway.key(id="0" * 32)
    assert (await gateway.send(token=key)).json()["errorCode"] == 0

    async def is_noted() -> bool:
        return [(use["id"], use["address"]) for use in gateway.auth.key_uses] == [("0" * 32, "127.0.0.1")]

    await eventually(is_noted)


async def test_a_large_list_is_read_for_a_key_too(gateway: RunningGateway) -> None:
    await gateway.user(recipients_per_day="")
    key = await gateway.key()
    body = json.dumps(mail(to=[f"n{n}@example.com" for n in range(5_000)], token=key))
    answer = await gateway.client.post("/api/v2/messages", content=body)
    assert answer.json()["count"] == 5_000
