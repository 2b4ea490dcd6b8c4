"""What is to be sent later: accepted now, shown, moved, and sent at its time."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from imsg.valkey import find_running
from imsg_contract.topology import user_key
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")

MAIL: dict[str, Any] = {"to": "li@example.com", "method": "smtp", "content": {"subject": "later", "text": "您好"}}


def schedule(deployment: Deployment, at: datetime, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    """Send a mail that is to go at a time; return the answer."""
    body = {"token": deployment.token(), **MAIL, "send_at": at.isoformat(), **fields}
    answer = deployment.call("POST", "/api/v2/messages", body)
    assert answer["errorCode"] == 0, answer
    return answer


def show(deployment: Deployment, request: str) -> dict[str, Any]:
    """Show a request at a glance."""
    return deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())


def wait_for_state(deployment: Deployment, request: str, state: str) -> dict[str, Any]:
    """Wait until history shows a state of a request; return what it shows."""
    wait(lambda: show(deployment, request).get("state") == state, 60, every_s=0.1)
    return show(deployment, request)


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def test_a_scheduled_mail_waits_is_listed_moved_and_sent_with_its_life_from_release(deployment: Deployment) -> None:
    due = now() + timedelta(days=2)
    subject, to = f"later {secrets.token_hex(4)}", f"{secrets.token_hex(4)}@example.com"
    content = {"subject": subject, "text": "您好"}
    answer = schedule(deployment, due, reference="a scheduled one", expires_in=60, to=to, content=content)
    shown = wait_for_state(deployment, answer["id"], "scheduled")
    assert shown["counts"]["scheduled"] == 1
    assert datetime.fromisoformat(shown["due_at"]) == datetime.fromisoformat(answer["due_at"])
    listed = deployment.call("GET", "/api/v2/requests", token=deployment.token(), state="scheduled")
    assert answer["id"] in [request["id"] for request in listed["requests"]]
    (v1,) = deployment.messages(answer["id"])
    assert v1["status"] == "queued"
    queued = deployment.call("GET", "/api/query", token=deployment.token(), id=answer["id"], status="queued")
    assert [message["status"] for message in queued["messages"]] == ["queued"]
    assert deployment.inbox(to=to) == []

    soon = now() + timedelta(seconds=2)
    moved = deployment.call(
        "PATCH", f"/api/v2/requests/{answer['id']}", {"token": deployment.token(), "send_at": soon.isoformat()}
    )
    assert moved["errorCode"] == 0, moved
    (sent,) = deployment.wait_settled(answer["id"])
    assert sent["status"] == "sent", sent
    assert deployment.wait_arrived(to=to)["subject"] == subject
    assert now() >= soon
    again = deployment.call(
        "PATCH", f"/api/v2/requests/{answer['id']}", {"token": deployment.token(), "send_at": due.isoformat()}
    )
    assert (again["reason"], again["errorCode"]) == ("already_due", 10016)


def test_an_administrator_releases_what_waits(deployment: Deployment) -> None:
    user = deployment.new_user_token()
    answer = deployment.call(
        "POST", "/api/v2/messages", {"token": user, **MAIL, "send_at": (now() + timedelta(days=1)).isoformat()}
    )
    wait_for_state(deployment, answer["id"], "scheduled")
    path = f"/api/v2/requests/{answer['id']}/release"
    assert deployment.call("POST", path, {"token": user})["reason"] == "no_right"
    assert deployment.call("POST", path, {"token": deployment.token()})["errorCode"] == 0
    (sent,) = deployment.wait_settled(answer["id"])
    assert sent["status"] == "sent"


def test_who_may_not_send_any_more_when_it_is_due_sends_nothing(deployment: Deployment) -> None:
    name = deployment.new_user()
    answer = deployment.call(
        "POST",
        "/api/v2/messages",
        {
            "token": deployment.token(name, "correct horse"),
            **MAIL,
            "to": "nobody-hears@example.com",
            "send_at": (now() + timedelta(days=1)).isoformat(),
        },
    )
    wait_for_state(deployment, answer["id"], "scheduled")
    change = {"token": deployment.token(), "available": False}
    assert deployment.call("PATCH", f"/api/v2/users/{name}", change)["errorCode"] == 0
    path = f"/api/v2/requests/{answer['id']}/release"
    assert deployment.call("POST", path, {"token": deployment.token()})["errorCode"] == 0
    (failed,) = deployment.wait_settled(answer["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "sending_disabled")
    assert deployment.inbox(to="nobody-hears@example.com") == []


def test_what_redis_has_forgotten_of_a_user_keeps_no_scheduled_mail_from_being_sent(deployment: Deployment) -> None:
    """As after a restart of auth, or where Redis was emptied."""
    url = find_running(deployment.data)
    assert url is not None
    for _ in range(9):
        request = schedule(deployment, now() + timedelta(days=1))["id"]
        wait_for_state(deployment, request, "scheduled")
        due = now() + timedelta(seconds=5)
        move = {"token": deployment.token(), "send_at": due.isoformat()}
        assert deployment.call("PATCH", f"/api/v2/requests/{request}", move)["errorCode"] == 0
        with redis.Redis.from_url(url) as server:  # nothing is sent meanwhile, so only scheduler reads the entry
            server.delete(user_key("admin"))
        if now() < due:
            break  # else it has been sent already, by what Redis knew
    with redis.Redis.from_url(url) as server:
        wait(lambda: server.exists(user_key("admin")) == 1, 60)
    (sent,) = deployment.wait_settled(request)
    assert sent["status"] == "sent", sent


@pytest.mark.parametrize(
    ("send_at", "reason"),
    [
        ("2026-12-01T09:00:00", "no_offset"),
        ("2026-12-01", "no_offset"),
        ("3026-12-01T09:00:00+08:00", "too_far"),
        ("2016-12-01T09:00:00+08:00", "in_past"),
        ("tomorrow", "wrong_type"),
        (1_700_000_000, "wrong_type"),
        ("0001-01-01T00:00:00+14:00", "wrong_type"),
    ],
)
def test_a_time_that_cannot_be_is_refused_with_its_reason(deployment: Deployment, send_at: object, reason: str) -> None:
    body = {"token": deployment.token(), **MAIL, "send_at": send_at}
    refused = deployment.call("POST", "/api/v2/messages", body)
    assert (refused["errorCode"], refused["reason"]) == (10017, reason)
    moved = deployment.call("PATCH", f"/api/v2/requests/{'0' * 32}", {"token": deployment.token(), "send_at": send_at})
    assert moved["errorCode"] == 10017


def test_what_is_a_little_late_is_sent_at_once(deployment: Deployment) -> None:
    answer = schedule(deployment, now() - timedelta(minutes=4), to="late@example.com")
    assert "due_at" not in answer
    assert deployment.wait_arrived(to="late@example.com")


def test_only_what_waits_can_be_moved_and_only_by_its_user(deployment: Deployment) -> None:
    at = (now() + timedelta(days=1)).isoformat()
    sent = deployment.send("at-once@example.com")
    deployment.wait_settled(sent["id"])
    body = {"token": deployment.token(), "send_at": at}
    assert deployment.call("PATCH", f"/api/v2/requests/{sent['id']}", body)["reason"] == "not_scheduled"
    waiting = schedule(deployment, now() + timedelta(days=1))
    other = {"token": deployment.new_user_token(), "send_at": at}
    assert deployment.call("PATCH", f"/api/v2/requests/{waiting['id']}", other)["reason"] == "not_found"
