"""Idempotency-Key: the first answer again, one request whatever happens in between."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_gateway.idempotency import IdempotencyKeys, Replayed, Reservation, StoredAnswer, record_key
from imsg_testing.callers import id_of, user
from imsg_testing.gateway import RunningGateway, mail, run_gateway
from imsg_web.callers import Caller

LEASE = "lease"

ZHANG = user("zhang")


async def send(opened: RunningGateway, key: str, **fields: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    return await opened.client.post("/api/v2/messages", json=mail(**fields), headers={"idempotency-key": key})


async def test_the_same_key_and_body_get_the_first_answer_again_uncounted(either: RunningGateway) -> None:
    token = await either.user(per_hour=1)
    first = await send(either, "key", token=token)
    again = await send(either, "key", token=token)
    assert first.json()["errorCode"] == 0
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await either.waiting() == 1


async def test_a_new_token_is_the_same_body(gateway: RunningGateway) -> None:
    token = await gateway.user()
    first = await send(gateway, "key", token=token)
    other = gateway.token("zhang", nonce="1" * 32)
    assert (await send(gateway, "key", token=other)).json() == first.json()
    bearer = {"authorization": f"Bearer {other}", "idempotency-key": "key"}
    answer = await gateway.client.post("/api/v2/messages/", json=mail(), headers=bearer)
    assert answer.json() == first.json()


async def test_keys_are_each_users_own(gateway: RunningGateway) -> None:
    first, second = await gateway.user("zhang"), await gateway.user("li")
    ids = {(await send(gateway, "key", token=token)).json()["id"] for token in (first, second)}
    assert len(ids) == 2


async def test_the_token_is_judged_before_the_replay(gateway: RunningGateway) -> None:
    token = await gateway.user()
    await send(gateway, "key", token=token)
    gateway.auth.users["zhang"].epoch = 2
    await gateway.auth.write("zhang")
    assert (await send(gateway, "key", token=token)).json()["errorCode"] == 10005


async def test_a_refusal_releases_the_key(either: RunningGateway) -> None:
    token = await either.user()
    assert (await send(either, "key", token=token, to="")).json()["errorCode"] == 10011
    assert (await send(either, "key", token=token, method=None)).json()["errorCode"] == 10002
    assert (await send(either, "key", token=token)).json()["errorCode"] == 0


async def test_what_was_not_accepted_releases_the_key(gateway: RunningGateway) -> None:
    token = await gateway.user()
    gateway.history.is_broken = True
    attachment = {"filename": "a.txt", "file": "aGk="}
    assert (await send(gateway, "key", token=token, attachment=attachment)).json()["reason"] == "not_accepted"
    gateway.history.is_broken = False
    assert (await send(gateway, "key", token=token, attachment=attachment)).json()["errorCode"] == 0


async def test_concurrent_repeats_through_two_gateways_make_one_request(
    gateway: RunningGateway, store_url: str
) -> None:
    token = await gateway.user(per_hour=1)
    async with run_gateway(store_url, is_first=False) as second:
        await second.ready()
        answers = await asyncio.gather(*(send((gateway, second)[n % 2], "key", token=token) for n in range(20)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert await gateway.waiting() == 1


@pytest.fixture
def replays(gateway: RunningGateway) -> IdempotencyKeys:
    """Open the keys on the gateway's Redis, with little patience."""
    return IdempotencyKeys(gateway.redis, wait_s=0.3)


async def claim(replays: IdempotencyKeys, body: str = "body") -> Reservation:
    reservation = await replays.claim(ZHANG, "key", body, new_id())
    assert isinstance(reservation, Reservation)
    return reservation


SINCE = datetime(2026, 11, 25, tzinfo=UTC)


async def test_a_key_of_a_names_predecessor_is_not_replayed(gateway: RunningGateway) -> None:
    replays = IdempotencyKeys(gateway.redis, wait_s=0.3)
    first = await replays.claim(Caller("zhang", role="user", user_id="1" * 32, since=SINCE), "key", "body", new_id())
    assert isinstance(first, Reservation)
    await first.settle({"id": first.request})
    again = await replays.claim(Caller("zhang", role="user", user_id="1" * 32, since=SINCE), "key", "body", new_id())
    assert again == Replayed({"id": first.request})
    second = await replays.claim(
        Caller("zhang", role="user", user_id="2" * 32, since=SINCE), "key", "another body", new_id()
    )
    assert isinstance(second, Reservation)
    assert second.request != first.request


async def test_while_the_first_still_runs_a_repeat_waits_and_gets_in_progress(replays: IdempotencyKeys) -> None:
    await claim(replays)
    with pytest.raises(Refusal, match="in_progress"):
        await claim(replays)
    with pytest.raises(Refusal, match="key_reused"):
        await claim(replays, "other")


async def test_a_waiting_repeat_gets_the_answer_as_soon_as_it_is_there(gateway: RunningGateway) -> None:
    patient = IdempotencyKeys(gateway.redis, wait_s=60.0)
    reservation = await claim(patient)
    waiting = asyncio.create_task(patient.claim(ZHANG, "key", "body", new_id()))
    await reservation.store_job(b"job", {"id": reservation.request})
    await reservation.settle({"id": reservation.request})
    assert await waiting == Replayed({"id": reservation.request})


async def test_of_a_gateway_killed_before_it_counted_the_repeat_keeps_the_id(
    gateway: RunningGateway, replays: IdempotencyKeys
) -> None:
    killed = await claim(replays)
    await run_out(gateway)
    again = await claim(replays)
    assert again.request == killed.request
    assert again.kept is None


async def test_of_a_gateway_killed_after_it_counted_the_repeat_publishes_that_very_job(
    gateway: RunningGateway, replays: IdempotencyKeys
) -> None:
    killed = await claim(replays)
    await killed.store_job(b"job", {"id": killed.request, "count": 1})
    await run_out(gateway)
    again = await claim(replays)
    assert again.kept == StoredAnswer(b"job", {"id": killed.request, "count": 1})


async def test_a_gateway_that_was_only_slow_can_not_publish_beside_its_successor(
    gateway: RunningGateway, replays: IdempotencyKeys
) -> None:
    slow = await claim(replays)
    await run_out(gateway)
    successor = await claim(replays)
    with pytest.raises(Refusal, match="in_progress"):
        await slow.store_job(b"job", {})
    await slow.release()
    await successor.store_job(b"job", {})
    await successor.settle({"id": successor.request})
    assert isinstance(await replays.claim(ZHANG, "key", "body", new_id()), Replayed)


async def test_an_unknown_outcome_keeps_its_id_and_the_repeat_goes_on_at_once(replays: IdempotencyKeys) -> None:
    unsure = await claim(replays)
    await unsure.store_job(b"job", {"id": unsure.request})
    await unsure.leave()
    again = await claim(replays)
    assert again.request == unsure.request
    assert again.kept is not None


async def test_a_repeat_after_a_kill_is_one_request_with_one_id_through_the_api(gateway: RunningGateway) -> None:
    token = await gateway.user(per_hour=1)
    first = await send(gateway, "key", token=token)
    (job,) = await gateway.jobs()
    # As a gateway leaves it that was killed between the confirm and the answer.
    name = record_key("zhang", "key")
    await gateway.redis.call("HSET", name, "job", job.model_dump_json(), LEASE, 0)
    await gateway.redis.call("HDEL", name, "settled")
    again = await send(gateway, "key", token=token)
    assert again.json() == first.json()
    (repeated,) = await gateway.jobs()
    assert repeated == job


async def test_keys_are_forgotten_after_a_day(gateway: RunningGateway) -> None:
    token = await gateway.user()
    await send(gateway, "key", token=token)
    assert 86_000 < await gateway.redis.call("TTL", record_key("zhang", "key")) <= 86_400


async def run_out(opened: RunningGateway) -> None:
    """Expire a key's lease, as time does after a kill."""
    await opened.redis.call("HSET", record_key("zhang", "key"), LEASE, 0)


async def test_a_key_is_the_same_with_a_slash_at_the_end_of_the_path(gateway: RunningGateway) -> None:
    old = "0" * 32
    gateway.history.resend = JSONResponse(
        {
            "request": old,
            "username": "zhang",
            "user_id": id_of("zhang"),
            "method": "smtp",
            "account": None,
            "test": False,
            "attachments": [],
            "content": {"subject": "a", "text": "b"},
            "content_at": None,
            "recipients": [{"n": 0, "to": "li@example.com", "address": "li@example.com"}],
        }
    )
    body = {"token": await gateway.user(), "id": old}
    answers = [
        (await gateway.client.post(path, json=body, headers={"idempotency-key": "k"})).json()
        for path in ("/api/v2/resend", "/api/v2/resend", "/api/v2/resend/")  # a slash at the end is no other path
    ]
    assert answers[0]["errorCode"] == 0
    assert answers == [answers[0]] * 3
    assert await gateway.waiting() == 1
