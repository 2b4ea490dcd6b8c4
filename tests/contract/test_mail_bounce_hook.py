"""The hook of sender-smtp for bounces: who may push, in which form, and what is to come again."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from imsg_contract.wire import Job
from imsg_smtp.bounces.bounce_token import derive_keys, make_token
from imsg_testing import bounces
from imsg_testing.history import job
from imsg_testing.pushed_bounces import (
    DOMAIN,
    ERASURE_KEY,
    SIGNING,
    SPOKEN,
    WITHIN_S,
    Place,
    no_history,
    open_door,
    open_history,
    open_place,
)
from imsg_testing.waiting import eventually

NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
async def place(tmp_path: Path, redis_url: str) -> AsyncIterator[Place]:
    """Run sender-smtp and history."""
    async with open_place(tmp_path, redis_url) as opened:
        yield opened


def address_of(of: Job, n: int = 0) -> str:
    return f"{make_token(derive_keys(ERASURE_KEY)[0], of.request, n)}@{DOMAIN}"


async def test_a_signature_lets_in_and_its_lack_or_age_does_not(place: Place) -> None:
    sent = await place.send()
    raw = bounces.dsn(address_of(sent), action="delivered", status="2.0.0", diagnostic="")
    text = raw.decode()

    def headers(text: str, at: datetime, key: str = SIGNING) -> dict[str, str]:
        return {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(key).sign("msg_1", at, text),
            "content-type": "message/rfc822",
        }

    now = datetime.now(UTC)
    old = datetime.fromtimestamp(now.timestamp() - 400, UTC)
    other = "whsec_" + "YW5vdGhlciBzZWNyZXQgdGhhdCBpcyBub3Qgb3Vycw=="
    for wrong in ({}, headers(text, old), headers(text + " ", now), headers(text, now, other)):
        answer = await place.door.post("/hooks/smtp", content=raw, headers=wrong)
        assert (answer.status_code, answer.json()["reason"]) == (401, "not_signed")
    assert (await place.door.post("/hooks/smtp", content=raw, headers=headers(text, now))).status_code == 200
    await place.has_status(sent, "delivered")


async def test_a_mail_may_come_as_json(place: Place) -> None:
    sent = await place.send()
    raw = bounces.dsn("someone@tiancun.cn", action="delivered", status="2.0.0", diagnostic="").decode()
    path = f"/hooks/smtp/{SPOKEN}"

    assert (await place.door.post(path, json={"recipient": address_of(sent), "raw": raw})).status_code == 200
    await place.has_status(sent, "delivered")
    for wrong, code in (({}, 10002), ({"raw": 1}, 10017), ({"raw": raw, "recipient": 1}, 10017), ([], 10001)):
        answer = await place.door.post(path, json=wrong)
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", "/hooks/smtp/wrong", 404),
        ("POST", f"/hooks/smtp/{SPOKEN}x", 404),
        ("POST", "/hooks/smtp/é", 404),
        ("POST", "/hooks/smtpx", 404),
        ("POST", "/hooks/smtp", 401),
        ("GET", f"/hooks/smtp/{SPOKEN}", 405),
        ("GET", "/hooks/smtp/wrong", 404),
        ("POST", f"/hooks/smtp/{SPOKEN}?recipient=x", 404),
    ],
)
async def test_other_ways_lead_nowhere(place: Place, verb: str, path: str, status: int) -> None:
    answer = await place.door.request(verb, path, content=b"x")

    assert answer.status_code == status
    assert answer.json()["errorCode"] != 0
    assert SPOKEN not in answer.text


@pytest.mark.parametrize("secrets", [SIGNING, ""])
@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_a_secret_that_was_taken_away_is_not_repeated(redis_url: str, secrets: str, verb: str) -> None:
    async with open_door(no_history, redis_url, redis_url, secrets) as door:
        answer = await door.request(verb, f"/hooks/smtp/{SPOKEN}", content=b"x")
    assert (answer.status_code, answer.json()["reason"]) == (404, "no_such_url")
    assert SPOKEN not in answer.text


async def test_a_mail_of_more_than_a_mebibyte_is_refused(place: Place) -> None:
    assert (await place.push(bytes(1024 * 1024 + 1))).status_code == 413


async def test_while_history_is_away_what_needs_it_is_to_come_again_and_the_rest_goes(
    redis_url: str, place: Place
) -> None:
    sent = await place.send()
    async with open_door(no_history, redis_url, redis_url) as door:
        path = f"/hooks/smtp/{SPOKEN}"

        async def is_up() -> bool:
            raw = bounces.dsn(address_of(sent), status="5.0.0", diagnostic="smtp; 550 no")
            return (await door.post(path, content=raw)).status_code == 200

        await eventually(is_up, WITHIN_S)
        answer = await door.post(path, content=bounces.dsn(address_of(sent)))
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
        assert "retry-after" in answer.headers
    await place.has_status(sent, "failed")


async def test_while_the_broker_is_away_it_is_to_come_again(redis_url: str, tmp_path: Path) -> None:
    async with open_history(tmp_path, redis_url) as history, open_door(history, NOBODY, redis_url) as door:
        raw = bounces.dsn(address_of(job()), status="5.0.0", diagnostic="smtp; 550 no")
        answer = await door.post(f"/hooks/smtp/{SPOKEN}", content=raw)
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
