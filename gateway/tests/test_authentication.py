"""Tokens: their places in a request, their verification, and the effect of a change of the user."""

import json
import time
from datetime import UTC

import pytest

from imsg_contract import tokens
from imsg_contract.topology import user_key
from imsg_gateway.credentials import MAX_VERDICTS
from imsg_gateway.token_credentials import TokenAuthenticator
from imsg_limits.quota import Quota
from imsg_testing.callers import id_of
from imsg_testing.gateway import KEY, RunningGateway, mail
from imsg_web import service_client

QUERY = "/api/v2/messages"


async def test_the_token_may_stand_in_the_body_of_a_get_too(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await gateway.client.request("GET", QUERY, content=json.dumps({"token": token}))
    assert answer.json()["errorCode"] == 0


async def test_the_token_may_stand_in_the_authorization_header(gateway: RunningGateway) -> None:
    token = await gateway.user()
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = await gateway.client.get(QUERY, headers={"authorization": f"{scheme} {token}"})
        assert answer.json()["errorCode"] == 0
    answer = await gateway.client.get(QUERY, headers={"authorization": f"Basic {token}"})
    assert answer.json()["errorCode"] == 10002
    answer = await gateway.client.get(QUERY, headers={"authorization": "Bearer"})
    assert answer.json()["errorCode"] == 10005


async def test_a_token_in_the_query_may_have_lost_its_plus_signs_to_spaces(gateway: RunningGateway) -> None:
    token = await gateway.user("~~~")
    assert "+" in token
    for written in (token, token.replace("+", "%2B"), token.replace("+", "%20")):
        assert (await gateway.client.get(f"{QUERY}?token={written}")).json()["errorCode"] == 0
    for wrong in ("", "%00", "%20", "%FF"):
        assert (await gateway.client.get(f"{QUERY}?token={wrong}")).json()["errorCode"] == 10005


async def test_the_body_goes_before_the_header_and_the_header_before_the_query(gateway: RunningGateway) -> None:
    token = await gateway.user()
    bearer = {"authorization": f"Bearer {token}"}
    answer = await gateway.client.request("GET", QUERY, content=json.dumps({"token": "forged"}), headers=bearer)
    assert answer.json()["errorCode"] == 10005
    answer = await gateway.client.request("GET", QUERY, content=json.dumps({"token": None}), headers=bearer)
    assert answer.json()["errorCode"] == 0
    answer = await gateway.client.get(f"{QUERY}?token=forged", headers=bearer)
    assert answer.json()["errorCode"] == 0


async def test_a_wrapped_token_is_read(gateway: RunningGateway) -> None:
    token = await gateway.user()
    wrapped = "\r\n ".join(token[at : at + 40] for at in range(0, len(token), 40)) + "\n"
    assert (await gateway.send(token=wrapped)).json()["errorCode"] == 0
    answer = await gateway.client.request("GET", QUERY, content=json.dumps({"token": wrapped}))
    assert answer.json()["errorCode"] == 0
    assert gateway.history.relayed[-1].headers["x-imsg-token"] == token


@pytest.mark.parametrize("path", ["/api/send", "/api/v2/messages", "/api/v2/resend", "/api/v2/me"])
async def test_an_expired_a_revoked_and_a_strangers_token_do_not_hold(gateway: RunningGateway, path: str) -> None:
    token = await gateway.user()
    revoked = gateway.token("zhang", nonce="f" * 32)
    await gateway.redis.call("HSET", user_key("zhang"), "revoked:" + "f" * 32, 1)
    verb = "GET" if path == "/api/v2/me" else "POST"
    for held in (gateway.token("zhang", lasts_s=-1), revoked, gateway.token("nobody"), gateway.token("zhang", epoch=2)):
        answer = await gateway.client.request(verb, path, json=mail(token=held, id="0" * 32))
        assert (answer.json()["errorCode"], answer.status_code) == (10005, 200 if path == "/api/send" else 401)
    answer = await gateway.client.request(verb, path, json=mail(token=token, id="0" * 32))
    assert answer.json()["errorCode"] != 10005


async def test_a_new_epoch_ends_a_token_at_once_even_one_verified_before(gateway: RunningGateway) -> None:
    token = await gateway.user()
    assert (await gateway.send(token=token)).json()["errorCode"] == 0
    gateway.auth.users["zhang"].epoch = 2
    await gateway.auth.write("zhang")
    assert (await gateway.send(token=token)).json()["errorCode"] == 10005
    assert (await gateway.send(token=token)).json()["errorCode"] == 10005
    assert (await gateway.send(token=gateway.token("zhang", epoch=2))).json()["errorCode"] == 0


async def test_a_token_revoked_after_it_was_verified_ends_at_once(gateway: RunningGateway) -> None:
    token = await gateway.user()
    assert (await gateway.send(token=token)).json()["errorCode"] == 0
    await gateway.redis.call("HSET", user_key("zhang"), "revoked:" + "0" * 32, 1)
    assert (await gateway.send(token=token)).json()["errorCode"] == 10005
    assert (await gateway.send(token=token, to="")).json()["errorCode"] == 10005


async def test_a_user_missing_in_the_cache_is_asked_of_auth_and_the_send_goes_on(gateway: RunningGateway) -> None:
    token = await gateway.user()
    for _ in range(2):
        await gateway.redis.call("DEL", user_key("zhang"))
        assert (await gateway.send(token=token)).json()["errorCode"] == 0
    assert gateway.auth.cached == ["zhang", "zhang"]


async def test_services_and_jobs_learn_the_id_of_who_asks(gateway: RunningGateway) -> None:
    token = await gateway.user(since=1_764_028_800.125)
    await gateway.client.get(QUERY, params={"token": token})
    headers = gateway.history.relayed[-1].headers
    assert (headers["x-imsg-caller-id"], headers["x-imsg-caller-since"]) == (id_of("zhang"), "1764028800125")
    for _ in range(2):  # the first is checked, the second remembered
        assert (await gateway.send(token=token)).json()["errorCode"] == 0
    assert [job.user_id for job in await gateway.jobs(2)] == [id_of("zhang")] * 2


async def test_auth_is_shown_the_token_for_which_a_user_is_to_be_cached(gateway: RunningGateway) -> None:
    """So that it locks nothing for one that is made up."""
    token = await gateway.user()
    await gateway.redis.call("DEL", user_key("zhang"))
    gateway.auth.refuses_tokens = True
    assert (await gateway.send(token=token)).json()["errorCode"] == 10005
    assert gateway.auth.tokens == [token]


async def test_a_user_that_auth_can_not_cache_counts_as_its_outage(gateway: RunningGateway) -> None:
    token = await gateway.user()
    await gateway.redis.call("DEL", user_key("zhang"))
    gateway.auth.is_broken = True
    assert (await gateway.send(token=token)).json()["reason"] == "not_accepted"


async def test_available_and_limits_of_the_cached_user_hold_for_the_very_next_send(gateway: RunningGateway) -> None:
    token = await gateway.user()
    user = gateway.auth.users["zhang"]
    assert (await gateway.send(token=token)).json()["errorCode"] == 0
    user.available = False
    await gateway.auth.write("zhang")
    assert (await gateway.send(token=token)).json()["reason"] == "sending_disabled"
    user.available, user.per_hour = True, 1
    await gateway.auth.write("zhang")
    assert (await gateway.send(token=token)).json()["reason"] == "per_hour_used_up"
    user.per_hour = 2
    await gateway.auth.write("zhang")
    assert (await gateway.send(token=token)).json()["errorCode"] == 0


async def test_an_administrators_right_is_that_of_the_cached_user_at_this_moment(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    path, resume = "/api/v2/channels/smtp", {"token": token, "paused": False}
    assert (await gateway.client.patch(path, json=resume)).json()["errorCode"] == 0
    gateway.auth.users["zhang"].role = "user"
    await gateway.auth.write("zhang")
    assert (await gateway.client.patch(path, json=resume)).json()["reason"] == "no_right"


async def test_verdicts_remembered_are_bounded(gateway: RunningGateway) -> None:
    async with service_client.connect("http://auth", (), {}) as auth:
        authenticator = TokenAuthenticator(Quota(gateway.redis, UTC), auth, (KEY,), UTC, time.time)
        for n in range(MAX_VERDICTS + 10):
            text = gateway.token("zhang", nonce=f"{n:032x}")
            token = tokens.parse(text)
            assert token is not None
            authenticator.verify(text, token, id_of("zhang"), 1)
        assert authenticator.remembered == MAX_VERDICTS
