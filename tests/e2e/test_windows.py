"""Windows through all of iMSG: held at night, shown with the reason, and sent when it opens or is overridden."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_client import Client
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")

ALL_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def replace_windows(deployment: Deployment, *windows: dict[str, Any]) -> None:
    """Replace the windows, whatever they were."""
    body = {"token": deployment.token(), "windows": list(windows)}
    answer = deployment.client.request("PUT", "/api/v2/windows", json=body, headers={"if-match": "*"}).json()
    assert answer["errorCode"] == 0, answer


def closed_now(name: str) -> dict[str, Any]:
    """Describe a window of marketing by mail that opens in two hours."""
    since = datetime.now(UTC) + timedelta(hours=2)
    hours = {"from": f"{since:%H:%M}", "to": f"{since + timedelta(hours=1):%H:%M}"}
    return {"id": name, "methods": ["smtp"], "categories": ["marketing"], "zone": "UTC", "days": ALL_DAYS, **hours}


def send(deployment: Deployment, to: str | list[str], **fields: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    """Send marketing by mail; return the answer."""
    content = {"subject": "a sale", "text": "您好"}
    body = {"token": deployment.token(), "to": to, "method": "smtp", "content": content, "category": "marketing"}
    answer = deployment.call("POST", "/api/v2/messages", {**body, **fields})
    assert answer["errorCode"] == 0, answer
    return answer


def send_until_held(deployment: Deployment, to: str, by: str) -> dict[str, Any]:
    """Send until the gateway has read the window of this name; return the answer of what it holds."""
    answers: list[dict[str, Any]] = []

    def is_held() -> bool:
        answers.append(send(deployment, to))
        return answers[-1].get("held_by") == by

    wait(is_held, 60)
    return answers[-1]


def show(deployment: Deployment, request: str) -> dict[str, Any]:
    """Show a request at a glance."""
    return deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())


def test_marketing_waits_for_its_window_and_goes_when_an_operator_or_another_window_lets_it(
    deployment: Deployment,
) -> None:
    replace_windows(deployment, closed_now("evening"))
    try:
        first, second = (send_until_held(deployment, f"held{n}@example.com", "evening") for n in range(2))
        wait(lambda: show(deployment, second["id"]).get("state") == "held", 60)
        shown = show(deployment, first["id"])
        assert (shown["held_by"], shown["counts"]["held"]) == ("evening", 1)
        assert datetime.fromisoformat(shown["held_until"]) == datetime.fromisoformat(first["held_until"])
        listed = deployment.call("GET", "/api/v2/requests", token=deployment.token(), state="held")
        assert {first["id"], second["id"]} <= {request["id"] for request in listed["requests"]}
        assert deployment.messages(first["id"])[0]["status"] == "queued"
        user = deployment.new_user_token()
        refused = deployment.call("POST", "/api/v2/requests/release", {"token": user, "held_by": "evening"})
        assert refused["reason"] == "no_right"
        move = {"token": deployment.token(), "send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
        assert deployment.call("PATCH", f"/api/v2/requests/{first['id']}", move)["reason"] == "already_due"

        with Client(deployment.url, token=deployment.token()) as imsg:
            imsg.release_request(first["id"])
            assert deployment.wait_settled(first["id"])[0]["status"] == "sent"
            assert show(deployment, second["id"])["state"] == "held"

            assert imsg.release_requests(held_by="evening") >= 1
            assert deployment.wait_settled(second["id"])[0]["status"] == "sent"
            assert imsg.release_requests(held_by="evening") == 0

        third = send_until_held(deployment, "held3@example.com", "evening")
        replace_windows(deployment)
        assert deployment.wait_settled(third["id"])[0]["status"] == "sent"
    finally:
        replace_windows(deployment)


def test_what_a_window_holds_is_cancelled_by_its_cause_a_users_own_and_for_an_operator_all(
    deployment: Deployment,
) -> None:
    name = f"night-{secrets.token_hex(4)}"
    replace_windows(deployment, closed_now(name))
    try:
        send_until_held(deployment, "warm-up@example.com", name)
        users = [deployment.new_user_token() for _ in range(2)]
        mine, theirs = (send(deployment, [f"held-{n}@example.com", "b@example.com"], token=users[n]) for n in range(2))
        for held in (mine, theirs):
            assert held["held_by"] == name
            wait(lambda r=held["id"]: show(deployment, r).get("state") == "held", 60)  # type: ignore[misc]
        for _ in range(2):
            answer = deployment.call("POST", "/api/v2/requests/cancel", {"token": users[0], "held_by": name})
            assert [answer[total] for total in ("cancelled", "too_late", "settled")] == [2, 0, 0]
        wait(lambda: show(deployment, mine["id"])["counts"]["cancelled"] == 2, 60)
        assert show(deployment, theirs["id"])["state"] == "held"
        me = deployment.call("GET", "/api/v2/me", token=users[0])
        assert (me["used_day"], me["used_recipients"]) == (0, 0)
        with Client(deployment.url, token=deployment.token()) as imsg:
            assert imsg.cancel_requests(held_by=name).cancelled >= 4
        wait(lambda: show(deployment, theirs["id"])["counts"]["cancelled"] == 2, 60)
    finally:
        replace_windows(deployment)
    assert [mail["to"] for mail in deployment.inbox() if mail["to"].startswith("held-")] == []
