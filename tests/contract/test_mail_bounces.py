"""Bounces pushed to the hook of sender-smtp: what history and the catalog record."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook
from starlette.types import ASGIApp

import imsg_history.main
import imsg_smtp.main
from imsg_broker.connect import open_broker
from imsg_broker.port import Broker
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Category, Job, Status
from imsg_smtp.bounces.bounce_token import derive_keys, make_token, sign_name
from imsg_testing import bounces
from imsg_testing.callers import user
from imsg_testing.history import job, make_delivery, outcome
from imsg_testing.waiting import eventually
from imsg_web.service import Service
from imsg_web.service_client import connect

KEY = (SecretStr("key" * 12),)
ERASURE_KEY = (SecretStr("e" * 32),)
SIGNING = "whsec_" + "bm90aGluZyBidXQgb2N0ZXRzIHRvIHNpZ24gYnk="
SPOKEN = "a-secret-of-the-url-0123456789"
DOMAIN = "bounce.tiancun.cn"
NOBODY = "redis://127.0.0.1:1/0"
WITHIN_S = 60.0

ADMIN = user("admin", role="admin")


@dataclass
class Place:
    """sender-smtp and history, and who looks at what they keep."""

    door: httpx.AsyncClient
    history: Service
    broker: Broker

    async def publish(self, *published: Any) -> None:  # noqa: ANN401  what history hears
        """Tell history."""
        for body in published:
            delivery = make_delivery(body)
            await self.broker.publish(delivery.body, self.broker.topology.new(delivery.key))

    async def message(self, of: Job) -> dict[str, Any]:
        """Return the one message of a job, with its time-line; empty where it is not there."""
        async with connect("http://history", KEY, {"history": self.history}) as peer:
            answer = await peer.call("GET", "/api/messages", caller=ADMIN, params={"id": f"{of.request}-0"})
        return next(iter(answer.json()["messages"]), {})

    async def has_status(self, of: Job, status: str) -> dict[str, Any]:
        """Wait until the message has a status; return it."""
        found: dict[str, Any] = {}

        async def has() -> bool:
            found.update(await self.message(of))
            return bool(found.get("status") == status)

        await eventually(has, WITHIN_S)
        return found

    async def send(self, **given: Any) -> Job:  # noqa: ANN401  a job's fields
        """Have history know a mail that was handed over."""
        accepted_job = job(to=("zhang@corp.cn",), **given)
        await self.publish(accepted_job, outcome(accepted_job, Status.SENT, at=datetime.now(UTC)))
        await self.has_status(accepted_job, "sent")
        return accepted_job

    async def learned(self) -> Suppression:
        """Take what the catalog is told next."""
        async with asyncio.timeout(WITHIN_S), self.broker.consume(self.broker.topology.catalog, 1) as deliveries:
            delivery = await anext(deliveries)
            await self.broker.ack(delivery)
            return Suppression.model_validate_json(delivery.body)

    async def push(self, raw: bytes, *, to: str = "", path: str = f"/hooks/smtp/{SPOKEN}") -> httpx.Response:
        """Push a mail as a pipe does."""
        params = {"recipient": to} if to else {}
        return await self.door.post(path, content=raw, params=params, headers={"content-type": "message/rfc822"})


async def no_history(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's own
    """Stand for a history that is away."""
    del scope, receive, send
    raise ConnectionError("gone")


def mail_settings(broker_url: str, redis_url: str, secrets: str) -> imsg_smtp.main.Settings:
    return imsg_smtp.main.Settings(
        broker_url=broker_url,
        redis_url=redis_url,
        service_key=KEY,
        erasure_key=ERASURE_KEY,
        history_url="http://history",
        smtp=imsg_smtp.main.Smtp.model_validate(
            {
                "host": "127.0.0.1",
                "port": 1,
                "sender": "noreply@tiancun.cn",
                "bounce_domain": DOMAIN,
                "bounce_secret": secrets,
            }
        ),
    )


@asynccontextmanager
async def open_door(
    history: ASGIApp, broker_url: str, redis_url: str, secrets: str = f"{SIGNING},{SPOKEN}"
) -> AsyncIterator[httpx.AsyncClient]:
    """Run sender-smtp."""
    service = imsg_smtp.main.app(mail_settings(broker_url, redis_url, secrets), {"history": history})
    headers = {"accept-language": "en"}
    async with (
        service.running(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(service), base_url="http://smtp", headers=headers, timeout=20
        ) as client,
    ):
        yield client


@pytest.fixture
async def history(tmp_path: Path, redis_url: str) -> AsyncIterator[Service]:
    """Run history."""
    url = f"sqlite:///{tmp_path}/history.db"
    settings = imsg_history.main.Settings(
        database_url=url, broker_url=redis_url, redis_url=redis_url, service_key=KEY, erasure_key=ERASURE_KEY
    )
    service = imsg_history.main.app(settings)
    async with service.running():

        async def is_ready() -> bool:
            return service.unmet() == []

        await eventually(is_ready, WITHIN_S)
        yield service


@pytest.fixture
async def place(history: Service, redis_url: str) -> AsyncIterator[Place]:
    """Run both."""
    async with open_door(history, redis_url, redis_url) as door, open_broker(redis_url) as broker:

        async def is_ready() -> bool:
            return broker.ready and (await door.get("/health/ready")).status_code == 200

        await eventually(is_ready, WITHIN_S)
        yield Place(door, history, broker)


def address_of(of: Job, n: int = 0) -> str:
    return f"{make_token(derive_keys(ERASURE_KEY)[0], of.request, n)}@{DOMAIN}"


async def test_a_hard_bounce_fails_its_message_with_the_servers_words_and_suppresses_the_address(place: Place) -> None:
    sent = await place.send()
    raw = bounces.dsn(address_of(sent), date=bounces.now())

    for _ in range(2):  # a push that comes again
        answer = await place.push(raw)
        assert (answer.status_code, answer.json()["result"], answer.json()["id"]) == (
            200,
            "accepted",
            f"{sent.request}-0",
        )

    message = await place.has_status(sent, "failed")
    words = "5.1.1 <zhang@corp.cn>: Recipient address rejected: User unknown in virtual mailbox table"
    assert (message["error"]["code"], message["error"]["detail"]) == ("550 5.1.1", words)
    assert [line["status"] for line in message["timeline"]].count("failed") == 1
    told = await place.learned()
    assert (told.address, told.reason, told.sender, told.category) == ("zhang@corp.cn", Reason.HARD_BOUNCE, None, None)
    assert (told.request, told.n, told.evidence) == (sent.request, 0, f"550 5.1.1 {words}")


OWN = "noreply@tiancun.cn"
"""The account that sends, where nobody may choose the envelope sender."""


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (bounces.qq_with_the_mail, "550"),
        (bounces.netease, "550"),
        (bounces.exmail, "550"),
        (bounces.direct_mail, "559"),
        (bounces.sendmail, "550 5.1.1"),
    ],
)
@pytest.mark.parametrize("line", ["X-IMSG-Id: {}\nMessage-ID: <tencent_0A1B@qq.com>", "Message-ID: <{}@tiancun.cn>"])
async def test_without_a_token_a_bounce_finds_its_message_by_the_signed_name_that_it_returns(
    place: Place, write: Callable[[str, str], bytes], code: str, line: str
) -> None:
    sent = await place.send()

    answer = await place.push(write(OWN, line.format(sign_name(derive_keys(ERASURE_KEY)[0], sent.request, 0))))

    assert (answer.json()["result"], answer.json()["id"]) == ("accepted", f"{sent.request}-0")
    assert (await place.has_status(sent, "failed"))["error"]["code"] == code
    told = await place.learned()
    assert (told.address, told.reason, told.request) == ("zhang@corp.cn", Reason.HARD_BOUNCE, sent.request)


async def test_a_forged_name_changes_nothing(place: Place) -> None:
    sent = await place.send()
    ours = sign_name(derive_keys(ERASURE_KEY)[0], sent.request, 0)
    stem, _, mac = ours.partition(".")
    of_a_stranger = sign_name(derive_keys((SecretStr("x" * 32),))[0], sent.request, 0)
    of_another = f"{sent.request}-1.{mac}"

    for forged in (stem, f"{stem}.{'a' * 13}", of_a_stranger, of_another):
        for line in (f"X-IMSG-Id: {forged}", f"Message-ID: <{forged}@tiancun.cn>"):
            for write in (bounces.netease, bounces.exmail, bounces.sendmail):
                answer = await place.push(write(OWN, line))
                assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    answer = await place.push(
        bounces.vacation(OWN, f"In-Reply-To: <{ours}@tiancun.cn>", "Auto-Submitted: auto-replied")
    )
    assert answer.status_code == 404
    assert (await place.message(sent))["status"] == "sent"


async def test_a_report_of_delivery_says_delivered_and_one_of_relaying_or_delay_nothing(place: Place) -> None:
    sent = await place.send()
    to = address_of(sent)

    for action in ("relayed", "expanded", "delayed"):
        answer = await place.push(bounces.dsn(to, action=action, status="2.0.0", diagnostic=""))
        assert answer.json()["result"] == "ignored"
    assert (await place.message(sent))["status"] == "sent"

    said = "smtp; 250 2.1.5 Delivered"
    await place.push(bounces.dsn(to, action="delivered", status="2.0.0", diagnostic=said, date=bounces.now()))
    assert (await place.has_status(sent, "delivered"))["error"] is None


async def test_a_full_mailbox_fails_its_message_and_suppresses_nobody(place: Place) -> None:
    full, gone = await place.send(), await place.send()
    diagnostic = "smtp; 552 5.2.2 Mailbox full"

    await place.push(bounces.dsn(address_of(full), status="5.2.2", diagnostic=diagnostic, date=bounces.now()))
    await place.push(bounces.dsn(address_of(gone), date=bounces.now()))

    assert (await place.has_status(full, "failed"))["error"]["code"] == "552 5.2.2"
    assert (await place.learned()).request == gone.request


async def test_of_an_alias_one_member_that_is_gone_suppresses_nobody(place: Place) -> None:
    alias, gone = await place.send(), await place.send()

    await place.push(bounces.dsn(address_of(alias), recipient="member@corp.cn"))
    await place.push(bounces.dsn(address_of(gone), recipient="Zhang@mail.corp.cn"))

    await place.has_status(alias, "failed")
    assert (await place.learned()).request == gone.request


async def test_a_complaint_keeps_this_senders_mails_of_this_category_away(place: Place) -> None:
    content = {"subject": "新品", "text": "……", "sender": "news"}
    sent = await place.send(content=content, category=Category.MARKETING)
    raw = bounces.complaint(f"fbl@{DOMAIN}", address_of(sent), date=bounces.now())

    for _ in range(2):  # a push that comes again
        answer = await place.push(raw, to=f"fbl@{DOMAIN}")
        assert answer.json()["result"] == "accepted"

    told = await place.learned()
    assert (told.address, told.reason, told.sender, told.category) == (
        "zhang@corp.cn",
        Reason.COMPLAINT,
        "news",
        Category.MARKETING,
    )

    async def shows() -> bool:
        return "complaint" in {line["code"] for line in (await place.message(sent))["timeline"]}

    await eventually(shows, WITHIN_S)
    message = await place.message(sent)
    (line,) = [line for line in message["timeline"] if line["code"] == "complaint"]
    assert (message["status"], message["error"]) == ("sent", None)
    assert (line["attempt"], line["status"], line["code"], line["provider"]) == (None, "delivered", "complaint", "smtp")
    assert line["detail"] == "Feedback-Type: abuse; From: hotmail.com; User-Agent: SomeGenerator/1.0"


async def test_a_complaint_about_a_notice_keeps_this_senders_marketing_away_too(place: Place) -> None:
    sent = await place.send(content={"subject": "账单", "text": "……", "sender": "bills"}, category=Category.NOTICE)

    await place.push(bounces.complaint(f"fbl@{DOMAIN}", address_of(sent), date=bounces.now()), to=f"fbl@{DOMAIN}")

    told = [await place.learned() for _ in range(2)]
    assert [
        (suppression.address, suppression.reason, suppression.sender, suppression.category) for suppression in told
    ] == [("zhang@corp.cn", Reason.COMPLAINT, "bills", category) for category in (Category.NOTICE, Category.MARKETING)]


@pytest.mark.parametrize("date", ["", "Wed, 25 Nov 2020 10:00:05 +0800", "yesterday"])
async def test_a_bounce_that_is_pushed_twice_stands_once_and_leaves_the_provider_alone(place: Place, date: str) -> None:
    """Whatever its own date is worth."""
    sent = await place.send()
    before = await place.message(sent)
    raw = bounces.dsn(address_of(sent), status="5.2.2", diagnostic="smtp; 552 5.2.2 mailbox full", date=date)

    for _ in range(3):
        assert (await place.push(raw)).json()["result"] == "accepted"
    other = await place.send()
    await place.push(bounces.dsn(address_of(other), action="delivered", status="2.0.0", date=date))
    await place.has_status(other, "delivered")  # what was pushed before it has been recorded

    message = await place.message(sent)
    assert message["status"] == "failed"
    assert [line["status"] for line in message["timeline"]] == ["sent", "failed"]
    assert (message["provider"], message["provider_id"]) == (before["provider"], before["provider_id"])
    assert message["provider"] is not None


async def test_what_comes_before_its_job_and_outcome_is_kept_for_them(place: Place) -> None:
    accepted_job = job(to=("zhang@corp.cn",))
    raw = bounces.dsn(address_of(accepted_job), status="5.0.0", diagnostic="smtp; 550 no", date=bounces.now())

    assert (await place.push(raw)).json()["result"] == "accepted"
    await place.publish(outcome(accepted_job, Status.SENT, at=datetime.now(UTC)), accepted_job)

    async def is_known() -> bool:
        return bool((await place.message(accepted_job)).get("to"))

    await eventually(is_known, WITHIN_S)
    message = await place.message(accepted_job)
    assert (message["status"], message["error"]["code"]) == ("failed", "550")
    assert {"sent", "failed"} <= {line["status"] for line in message["timeline"]}


async def test_a_hard_bounce_of_what_history_has_not_recorded_yet_is_to_come_again(place: Place) -> None:
    accepted_job = job(to=("zhang@corp.cn",))

    answer = await place.push(bounces.dsn(address_of(accepted_job)))

    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    await place.publish(accepted_job)
    await place.has_status(accepted_job, "queued")
    assert (await place.push(bounces.dsn(address_of(accepted_job)))).status_code == 200
    assert (await place.learned()).request == accepted_job.request


async def test_what_names_no_message_of_ours_is_not_found(place: Place) -> None:
    sent = await place.send()
    to = address_of(sent)

    for wrong in (f"nobody@{DOMAIN}", to.replace(to[20], "a" if to[20] != "a" else "b")):
        answer = await place.push(bounces.dsn(wrong))
        assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    assert (await place.message(sent))["status"] == "sent"


async def test_machines_answers_change_nothing(place: Place) -> None:
    sent = await place.send()

    answer = await place.push(bounces.vacation(address_of(sent), "Auto-Submitted: auto-replied"))

    assert (answer.json()["result"], answer.json()["why"]) == ("ignored", "auto_reply")


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


async def test_while_the_broker_is_away_it_is_to_come_again(redis_url: str, history: Service) -> None:
    async with open_door(history, NOBODY, redis_url) as door:
        raw = bounces.dsn(address_of(job()), status="5.0.0", diagnostic="smtp; 550 no")
        answer = await door.post(f"/hooks/smtp/{SPOKEN}", content=raw)
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
