"""Bounces through `imsg up`: a delivery report, a bounce, and the suppression that follows."""

from typing import Any

import httpx
import pytest
from aiosmtplib import SMTPException

from imsg_testing import bounces
from imsg_testing.deployment import Deployment
from imsg_testing.smtp_attack import BUSY, attacking
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("bounces")

SECRET = bounces.BOUNCE_SECRET
WORDS = "smtp; 550 5.1.1 <wang@tiancun-shili.cn>: User unknown"


@pytest.fixture
def back(bouncing: Deployment) -> Deployment:
    """`imsg up` to which mail comes back."""
    return bouncing


def send(back: Deployment, to: str) -> tuple[str, str]:
    """Send a mail; return its request and the envelope sender by which it arrived."""
    request = str(back.send(to)["id"])
    has_status(back, request, "sent")
    (kept,) = back.inbox(to=to)
    return request, str(kept["from"])


def push(back: Deployment, raw: bytes) -> httpx.Response:
    """Push a mail that came back."""
    return httpx.post(f"{back.url}/hooks/smtp/{SECRET}", content=raw, timeout=60)


def has_status(back: Deployment, request: str, status: str) -> dict[str, Any]:
    """Wait until the one message of a request has a status; return it with its time-line."""
    found: dict[str, Any] = {}

    def has() -> bool:
        found.update(next(iter(back.messages(f"{request}-0")), {}))
        return bool(found.get("status") == status)

    wait(has, 60, every_s=0.1, why=lambda: f"not {status}: {found}\n{back.logs}")
    return found


def test_a_report_of_delivery_makes_a_mail_delivered_and_is_published(back: Deployment) -> None:
    token = {"token": back.token()}
    start = back.call("GET", "/api/v2/events", token)["next"]
    request, path = send(back, "li@tiancun-shili.cn")
    assert path.endswith("@bounce.tiancun-shili.cn")

    report = bounces.dsn(path, action="delivered", status="2.0.0", diagnostic="smtp; 250 Ok", date=bounces.now())
    assert push(back, report).json()["result"] == "accepted"

    message = has_status(back, request, "delivered")
    assert [line["status"] for line in message["timeline"]][-2:] == ["sent", "delivered"]
    events: list[str] = []

    def is_told() -> bool:
        nonlocal start
        page = back.call("GET", "/api/v2/events", token, after=start)
        start = page["next"]
        events.extend(event["type"] for event in page["events"] if event["data"].get("id") == f"{request}-0")
        return "message.delivered" in events

    wait(is_told, 60, every_s=0.1, why=lambda: str(events))


def test_a_hard_bounce_fails_a_mail_and_the_next_one_is_not_sent(back: Deployment) -> None:
    to = "wang@tiancun-shili.cn"
    request, path = send(back, to)

    assert push(back, bounces.dsn(path, recipient=to, diagnostic=WORDS, date=bounces.now())).status_code == 200

    message = has_status(back, request, "failed")
    assert (message["error"]["code"], message["timeline"][-1]["detail"]) == (
        "550 5.1.1",
        WORDS.removeprefix("smtp; 550 "),
    )

    def is_suppressed() -> bool:
        page = back.call("GET", "/api/v2/suppressions", {"token": back.token()}, to=to)
        return [suppression["reason"] for suppression in page["suppressions"]] == ["hard_bounce"]

    wait(is_suppressed, 60, every_s=0.1)
    again = has_status(back, str(back.send(to)["id"]), "failed")
    assert again["error"]["code"] == "suppressed"
    assert len(back.inbox(to=to)) == 1


def test_a_mail_without_a_token_of_ours_changes_nothing(back: Deployment) -> None:
    answer = push(back, bounces.dsn(f"b+{'a' * 45}@bounce.tiancun-shili.cn"))

    assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")


@pytest.mark.long
def test_while_the_listener_is_attacked_bounces_of_others_come_in_and_all_else_goes_on(
    back: Deployment, bounce_port: int
) -> None:
    request, path = send(back, "zhao@tiancun-shili.cn")
    report = bounces.dsn(path, action="delivered", status="2.0.0", diagnostic="", date=bounces.now())

    def is_seen(*codes: str) -> bool:
        for check in ("live", "ready"):
            answer = httpx.get(f"{back.url}/health/{check}", timeout=60)
            assert answer.status_code == 200, answer.text
        return all(attack.answers[code] for code in codes)

    with attacking(bounce_port, path.rpartition("@")[2]) as attack:
        wait(
            lambda: is_seen("550 5.1.1", "550 5.7.1", "552 5.3.4", "421 4.7.0", "500"),
            60,
            why=lambda: str(attack.answers),
        )
        attack.grow()
        wait(lambda: is_seen(BUSY), 60, why=lambda: str(attack.answers))

        def is_brought() -> bool:  # a session that stands still for three seconds is ended, as any mail server does
            try:
                bounces.bring(bounce_port, path, report, address="127.0.0.2")
            except SMTPException:
                return False
            return True

        wait(is_brought, 60)
        has_status(back, request, "delivered")
        send(back, "qian@tiancun-shili.cn")
        assert is_seen()


def test_the_doctor_greets_the_listener(back: Deployment, bounce_port: int) -> None:
    done = back.run("doctor", COLUMNS="300")
    lines = [line for line in done.stdout.splitlines() if line.startswith(("✓", "✗"))]
    assert any(line.startswith("✓") and "listener" in line and str(bounce_port) in line for line in lines), done.stdout
    assert any("pushed, by listener" in line for line in lines), done.stdout
