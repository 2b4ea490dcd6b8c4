"""What is cancelled: it is not sent, its charge comes back, and everybody sees that it was taken back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

CONTENT = {"subject": "taken back", "text": "您好"}
TOTALS = ("cancelled", "too_late", "settled")

pytestmark = pytest.mark.xdist_group("stories of sending")
"""Charges are counted by the day."""


def accept(deployment: Deployment, token: str, to: str | list[str], **fields: Any) -> str:  # noqa: ANN401  any JSON
    """Send a mail; return its id."""
    body = {"token": token, "method": "smtp", "content": CONTENT, "to": to, **fields}
    answer = deployment.call("POST", "/api/v2/messages", body)
    assert answer["errorCode"] == 0, answer
    name: str = answer["id"]
    return name


def tomorrow() -> str:
    """Return the time of tomorrow."""
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


def cancel(deployment: Deployment, token: str, path: str, **body: str) -> tuple[int, ...]:
    """Cancel; return the totals."""
    answer = deployment.call("POST", f"/api/v2/{path}", {"token": token, **body})
    assert answer["errorCode"] == 0, answer
    return tuple(answer[name] for name in TOTALS)


def wait_for_counts(deployment: Deployment, token: str, request: str, **counts: int) -> None:
    """Wait until history counts so many messages of a request in these statuses."""

    def are_so() -> bool:
        shown = deployment.call("GET", f"/api/v2/requests/{request}", token=token).get("counts", {})
        return {name: shown.get(name) for name in counts} == counts

    wait(are_so, 60, every_s=0.1)


def used(deployment: Deployment, token: str) -> tuple[int, int]:
    """Return how many requests and recipients a user is charged for today."""
    me = deployment.call("GET", "/api/v2/me", token=token)
    return me["used_day"], me["used_recipients"]


def read_cancelled(deployment: Deployment, token: str) -> list[str]:
    """Return the messages of which an event says that they are cancelled."""
    events = deployment.call("GET", "/api/v2/events", token=token, wait="0")["events"]
    return sorted(event["data"]["id"] for event in events if event["type"] == "message.cancelled")


@pytest.fixture
def paused(deployment: Deployment) -> Any:  # noqa: ANN401  a generator
    """Pause mail, so that what is accepted waits at the broker."""
    for is_paused in (True, False):
        body = {"paused": is_paused, "reason": "a test", "token": deployment.token()}
        assert deployment.call("PATCH", "/api/v2/channels/smtp", body)["errorCode"] == 0
        if is_paused:
            yield


def test_what_waits_for_its_time_is_cancelled_whole_or_in_part_and_a_repeat_answers_the_same(
    deployment: Deployment,
) -> None:
    token = deployment.new_user_token()
    assert read_cancelled(deployment, token) == []  # events are kept for users that have subscribed
    before = used(deployment, token)
    people = [f"later-{n}@example.com" for n in range(3)]
    request = accept(deployment, token, people, send_at=tomorrow())
    for _ in range(2):
        assert cancel(deployment, token, f"messages/{request}-1/cancel") == (1, 0, 0)
    assert used(deployment, token) == (before[0] + 1, before[1] + 2)
    for _ in range(2):
        assert cancel(deployment, token, f"requests/{request}/cancel") == (2, 0, 0)
    assert used(deployment, token) == before
    wait_for_counts(deployment, token, request, scheduled=0, cancelled=3)
    everybody = [f"{request}-{n}" for n in range(3)]
    wait(lambda: read_cancelled(deployment, token) == everybody, 60, why=lambda: f"{read_cancelled(deployment, token)}")
    v1 = deployment.call("GET", "/api/query", token=token, id=request)
    assert [message["status"] for message in v1["messages"]] == ["expired"] * 3
    assert [deployment.inbox(to=person) for person in people] == [[]] * 3


@pytest.mark.usefixtures("paused")
def test_what_waits_at_the_broker_is_cancelled_and_never_goes_once_the_channel_is_open(deployment: Deployment) -> None:
    token = deployment.new_user_token()
    before = used(deployment, token)
    people = [f"queued-{n}@example.com" for n in range(120)]  # three chunks
    request = accept(deployment, token, people)
    single = accept(deployment, token, "queued-alone@example.com")
    assert cancel(deployment, token, f"messages/{request}-77/cancel") == (1, 0, 0)
    for _ in range(2):
        assert cancel(deployment, token, f"requests/{request}/cancel") == (119, 0, 1)
        assert cancel(deployment, token, f"messages/{single}-0/cancel") == (1, 0, 0)
    assert used(deployment, token) == (before[0] + 1, before[1])
    kept = accept(deployment, token, "queued-last@example.com")
    assert (
        deployment.call("PATCH", "/api/v2/channels/smtp", {"paused": False, "token": deployment.token()})["errorCode"]
        == 0
    )
    (sent,) = deployment.wait_settled(kept)
    assert sent["status"] == "sent"
    wait_for_counts(deployment, token, request, queued=0, cancelled=120)
    wait_for_counts(deployment, token, single, cancelled=1)
    assert [deployment.inbox(to=person) for person in (*people, "queued-alone@example.com")] == [[]] * 121


@pytest.mark.usefixtures("paused")
def test_all_requests_of_a_reference_are_cancelled_by_their_user_wherever_they_wait(deployment: Deployment) -> None:
    token, other = deployment.new_user_token(), deployment.new_user_token()
    later = [accept(deployment, token, "a@example.com", send_at=tomorrow(), reference="the wrong mail") for _ in "12"]
    queued = accept(deployment, token, ["b@example.com", "c@example.com"], reference="the wrong mail")
    others = accept(deployment, other, "d@example.com", send_at=tomorrow(), reference="the wrong mail")
    wait_for_counts(deployment, token, queued, queued=2)
    for request in later:
        wait_for_counts(deployment, token, request, scheduled=1)
    for _ in range(2):
        assert cancel(deployment, token, "requests/cancel", reference="the wrong mail") == (4, 0, 0)
    for request in later:
        wait_for_counts(deployment, token, request, cancelled=1)
    wait_for_counts(deployment, other, others, scheduled=1)
    refused = deployment.call(
        "POST", "/api/v2/requests/cancel", {"token": token, "reference": "the wrong mail", "username": "admin"}
    )
    assert refused["reason"] == "no_right"
    both = {"token": token, "reference": "the wrong mail", "held_by": "a window"}
    assert deployment.call("POST", "/api/v2/requests/cancel", both)["errorCode"] == 10017
    assert cancel(deployment, token, "requests/cancel", held_by="a window") == (0, 0, 0)


def test_what_was_sent_is_settled_and_others_see_nothing_to_cancel(deployment: Deployment) -> None:
    token = deployment.new_user_token()
    request = accept(deployment, token, "gone@example.com", reference="gone already")
    deployment.wait_settled(request)
    wait_for_counts(deployment, token, request, sent=1)
    assert cancel(deployment, token, f"requests/{request}/cancel") == (0, 0, 1)
    assert cancel(deployment, token, "requests/cancel", reference="gone already") == (0, 0, 1)
    assert cancel(deployment, deployment.token(), f"requests/{request}/cancel") == (0, 0, 1)
    for path in (f"requests/{request}/cancel", f"messages/{request}-0/cancel"):
        refused = deployment.call("POST", f"/api/v2/{path}", {"token": deployment.new_user_token()})
        assert refused["reason"] == "not_found"
    nothing = deployment.call("POST", "/api/v2/messages/nothing/cancel", {"token": token})
    assert nothing["reason"] == "not_found"
