"""POST /api/v2/resend and POST /api/v2/dead/ID/resend: a new request of what history says is to be sent again."""

import asyncio
from typing import Any

import pytest
from starlette.responses import JSONResponse

from imsg_contract.ids import new_id
from imsg_contract.topology import Lane, names_key
from imsg_testing.callers import id_of
from imsg_testing.gateway import RunningGateway

OLD = new_id()


def old(**fields: Any) -> JSONResponse:  # noqa: ANN401  any JSON
    """Build what history answers of an old request of zhang's."""
    sound = {
        "request": OLD,
        "username": "zhang",
        "user_id": id_of("zhang"),
        "method": "smtp",
        "account": None,
        "test": False,
        "content": {"subject": "a", "text": "b"},
        "content_at": None,
        "attachments": [],
        "recipients": [
            {"n": 3, "to": "li@example.com", "address": "li@example.com"},
            {"n": 7, "to": "王五", "address": "wang@example.com"},
        ],
    }
    return JSONResponse({"errorCode": 0, **sound, **fields})


async def resend(run_gateway: RunningGateway, token: str, **fields: Any) -> Any:  # noqa: ANN401
    answer = await run_gateway.client.post("/api/v2/resend", json={"token": token, "id": OLD, **fields})
    return answer.json()


async def test_a_resend_is_a_new_request_that_names_the_old_and_counts_once(gateway: RunningGateway) -> None:
    token = await gateway.user(per_hour=1)
    gateway.history.resend = old()
    answer = await resend(gateway, token)
    assert (answer["errorCode"], answer["count"]) == (0, 2)
    assert answer["id"] != OLD
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert (job.request, job.resend_of, job.username) == (answer["id"], OLD, "zhang")
    assert [(recipient.n, recipient.to, recipient.address) for recipient in job.recipients] == [
        (0, "li@example.com", "li@example.com"),
        (1, "王五", "wang@example.com"),
    ]
    assert (await resend(gateway, token, again=True))["errorCode"] == 10013


async def test_a_resend_by_a_sender_that_is_gone_is_refused_before_it_counts(gateway: RunningGateway) -> None:
    await gateway.redis.call("HSET", names_key("smtp"), "sender", '{"alerts": []}')
    token = await gateway.user()
    gateway.history.resend = old(content={"subject": "a", "text": "b", "sender": "news"})
    answer = await resend(gateway, token)
    assert (answer["reason"], await gateway.redis.call("KEYS", "imsg:used:*")) == ("wrong_type", [])
    gateway.history.resend = old(content={"subject": "a", "text": "b", "sender": "alerts"})
    assert (await resend(gateway, token))["errorCode"] == 0


async def test_history_learns_who_asks_and_whether_uncertain_ones_too(gateway: RunningGateway) -> None:
    token = await gateway.user()
    gateway.history.resend = old()
    await resend(gateway, token, id=f"{OLD}-3", uncertain=True)
    asked = gateway.history.relayed[-1]
    assert (asked.path, asked.query) == (f"/internal/resend/{OLD}-3", "again=0&uncertain=1")
    assert (asked.headers["x-imsg-caller"], asked.headers["x-imsg-role"]) == ("zhang", "user")
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert job.resend_of == f"{OLD}-3"


async def test_an_administrators_resend_stays_its_owners_request(gateway: RunningGateway) -> None:
    token = await gateway.user("admin", role="admin")
    gateway.history.resend = old()
    assert (await resend(gateway, token))["errorCode"] == 0
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert job.username == "zhang"


async def test_a_resend_is_its_first_senders_by_id(gateway: RunningGateway) -> None:
    token = await gateway.user("admin", role="admin")
    gateway.history.resend = old(user_id="5" * 32)
    await resend(gateway, token)
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert job.user_id == "5" * 32


async def test_bytes_by_reference_are_kept_again_under_the_new_request(gateway: RunningGateway) -> None:
    token = await gateway.user()
    content = b'{"subject":"long","text":"text"}'
    gateway.history.kept = {(OLD, "f" * 64): b"data", (OLD, "c" * 64): content}
    file = {"filename": "a.txt", "type": "text/plain", "size": 4, "sha256": "f" * 64}
    at = {"sha256": "c" * 64, "size": len(content)}
    gateway.history.resend = old(attachments=[file], content=None, content_at=at)
    answer = await resend(gateway, token)
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert gateway.history.kept[answer["id"], job.attachments[0].sha256] == b"data"
    assert job.content == {"subject": "long", "text": "text"}


async def test_bytes_no_longer_kept_refuse_the_resend(gateway: RunningGateway) -> None:
    token = await gateway.user()
    file = {"filename": "a.txt", "type": "text/plain", "size": 4, "sha256": "f" * 64}
    gateway.history.resend = old(attachments=[file])
    answer = await resend(gateway, token)
    assert (answer["errorCode"], answer["reason"]) == (10016, "not_found")
    assert "a.txt" in answer["detail"]


@pytest.mark.parametrize("reason", ["not_found", "nothing_to_resend"])
async def test_the_client_gets_the_reason_of_historys_refusal(gateway: RunningGateway, reason: str) -> None:
    token = await gateway.user()
    gateway.history.resend = JSONResponse({"errorCode": 10016, "reason": reason}, 409)
    answer = await resend(gateway, token)
    assert (answer["errorCode"], answer["reason"]) == (10016, reason)
    assert OLD in answer["detail"]


async def test_history_broken_is_not_accepted(gateway: RunningGateway) -> None:
    token = await gateway.user(per_hour=1)
    gateway.history.resend = JSONResponse({"errorCode": 10012, "reason": "bug"}, 500)
    assert (await resend(gateway, token))["reason"] == "not_accepted"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"id": None}, 10002),
        ({"id": 5}, 10017),
        ({"id": ""}, 10017),
        ({"id": "none"}, 10017),
        ({"id": "../dead"}, 10017),
        ({"id": f"{OLD}\0"}, 10017),
        ({"uncertain": "yes"}, 10017),
        ({"uncertain": 1}, 10017),
        ({"token": "x"}, 10005),
    ],
)
async def test_fields_of_a_resend_are_checked(gateway: RunningGateway, fields: dict[str, object], code: int) -> None:
    token = await gateway.user()
    answer = await gateway.client.post("/api/v2/resend", json={"token": token, "id": OLD, **fields})
    assert answer.json()["errorCode"] == code


async def test_a_dead_letter_is_sent_anew_by_administrators(gateway: RunningGateway) -> None:
    admin, user = await gateway.user("admin", role="admin"), await gateway.user()
    gateway.history.resend = old()
    path = f"/api/v2/dead/{'d' * 32}/resend"
    refused = await gateway.client.post(path, json={"token": user})
    assert refused.json()["reason"] == "no_right"
    answer = await gateway.client.post(path, headers={"authorization": f"Bearer {admin}"})
    assert answer.json()["count"] == 2
    assert gateway.history.relayed[-1].path == f"/internal/dead/{'d' * 32}"
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert job.resend_of == OLD


async def test_a_resend_under_a_key_happens_once(gateway: RunningGateway) -> None:
    token = await gateway.user()
    gateway.history.resend = old()
    fields = {"token": token, "id": OLD}
    ids = {
        (await gateway.client.post("/api/v2/resend", json=fields, headers={"idempotency-key": "key"})).json()["id"]
        for _ in range(3)
    }
    assert len(ids) == 1
    assert await gateway.waiting() == 1


async def test_concurrent_resends_send_each_message_once(gateway: RunningGateway) -> None:
    """History knows of neither yet."""
    token = await gateway.user()
    gateway.history.resend = old()
    answers = await asyncio.gather(*(resend(gateway, token) for _ in range(5)))
    assert sorted(answer["errorCode"] for answer in answers) == [0, 10016, 10016, 10016, 10016]
    assert {answer["reason"] for answer in answers if answer["errorCode"]} == {"already_resent"}
    assert await gateway.waiting() == 1
    again = await resend(gateway, token, again=True)
    assert (again["errorCode"], again["count"]) == (0, 2)


async def test_what_another_has_taken_is_left_out(gateway: RunningGateway) -> None:
    token = await gateway.user()
    first, second = ({"n": n, "to": f"{n}@example.com", "address": f"{n}@example.com"} for n in (3, 7))
    gateway.history.resend = old(recipients=[first])
    assert (await resend(gateway, token, id=f"{OLD}-3"))["count"] == 1
    gateway.history.resend = old(recipients=[first, second])
    assert (await resend(gateway, token))["count"] == 1
    one, other = await gateway.jobs(2)
    assert [job.recipients[0].to for job in (one, other)] == ["3@example.com", "7@example.com"]


@pytest.mark.parametrize("refused", ["limits", "bytes"])
async def test_what_was_not_accepted_can_be_sent_again_at_once(gateway: RunningGateway, refused: str) -> None:
    token = await gateway.user(per_hour=0 if refused == "limits" else 5)
    gone = [{"sha256": "0" * 64, "size": 1, "filename": "a", "type": "text/plain"}]
    gateway.history.resend = old(attachments=gone if refused == "bytes" else [])
    assert (await resend(gateway, token))["errorCode"] == (10013 if refused == "limits" else 10016)
    gateway.history.resend = old()
    gateway.auth.users["zhang"].per_hour = 5
    await gateway.auth.write("zhang")
    assert (await resend(gateway, token))["count"] == 2


async def test_a_repeated_resend_is_refused_and_the_reference_is_kept(gateway: RunningGateway) -> None:
    token = await gateway.user()
    gateway.history.resend = JSONResponse({"errorCode": 10016, "reason": "already_resent"}, 409)
    answer = await gateway.client.post("/api/v2/resend", json={"token": token, "id": OLD})
    assert (answer.status_code, answer.json()["reason"]) == (409, "already_resent")
    assert '"again": true' in answer.json()["detail"]
    gateway.history.resend = old(reference="订单-1")
    await resend(gateway, token, again=True)
    assert gateway.history.relayed[-1].query == "again=1&uncertain=0"
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert job.reference == "订单-1"


@pytest.mark.parametrize("path", ["resend", "dead/unknown/resend"])
async def test_a_key_that_sends_nothing_is_refused_before_the_id_is_looked_up(
    gateway: RunningGateway, path: str
) -> None:
    await gateway.user(role="admin")
    refused = {}
    for scope in ("query", "send:smtp"):
        body = {"token": await gateway.key(scopes=(scope,))} | ({"id": OLD} if path == "resend" else {})
        refused[scope] = (await gateway.client.post(f"/api/v2/{path}", json=body)).json()["reason"]
    assert refused == {"query": "no_scope", "send:smtp": "not_found"}
