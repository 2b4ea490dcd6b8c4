"""A test key's messages pass through all of a real installation, and reach no provider."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of users")

METHODS = ("smtp", "sms", "wechat", "wecom")


def make_key(deployment: Deployment, token: str, kind: str = "test") -> str:
    """Make a key that may send by every method."""
    scopes = ["query", "events", "callbacks", *(f"send:{method}" for method in METHODS)]
    made = deployment.call("POST", "/api/v2/keys", {"token": token, "name": "trial", "kind": kind, "scopes": scopes})
    key: str = made["key"]
    return key


def write(method: str, text: str = "您好") -> object:
    """Write the content of a message."""
    return {"subject": "hello", "text": text} if method == "smtp" else text


def send(deployment: Deployment, key: str, method: str, to: object, text: str = "您好") -> dict[str, Any]:
    """Send by a key."""
    body = {"token": key, "to": to, "method": method, "content": write(method, text)}
    return deployment.call("POST", "/api/v2/messages", body)


@pytest.mark.parametrize(
    ("method", "becomes"),
    [
        (
            "smtp",
            {
                "li@example.com": "delivered",
                "bounce+played@example.com": "failed",
                "spam@example.com": "failed",
                "full@example.com": "retrying",
                "returned@example.com": "failed",
            },
        ),
        (
            "sms",
            {
                "13800138000": "delivered",
                "19900000001": "failed",
                "19900000002": "failed",
                "19900000003": "retrying",
                "19900000006": "sent",
            },
        ),
        ("wechat", {"TES-T00-00W": "delivered", "TES-T00-01T": "failed", "TES-T00-02R": "failed"}),
        ("wecom", {"sandbox": "sent", "test": "sent", "test-removed": "failed", "test-busy": "retrying"}),
    ],
)
def test_a_test_keys_messages_are_simulated_by_recipient_and_not_delivered(
    deployment: Deployment, method: str, becomes: Mapping[str, str]
) -> None:
    token, text = deployment.new_user_token(), secrets.token_hex(4)
    key, before = make_key(deployment, token), deployment.call("GET", "/api/v2/stats", token=token)["buckets"]
    request = send(deployment, key, method, list(becomes), text)["id"]

    def read() -> dict[str, str]:
        found = deployment.call("GET", "/api/v2/messages", token=key, id=request)["messages"]
        assert {(message["test"], message["key"]) for message in found} <= {(True, "trial")}
        return {message["to"]: message["status"] for message in found}

    wait(lambda: read() == becomes, 120, every_s=0.2, why=lambda: f"{read()}\n{deployment.logs[-2000:]}")
    assert deployment.call("GET", f"/api/v2/requests/{request}", token=key)["test"] is True
    assert [message for message in deployment.inbox(method=method) if text in message["text"]] == []
    assert deployment.call("GET", "/api/v2/stats", token=token)["buckets"] == before
    shown = deployment.call("GET", "/api/v2/suppressions", token=deployment.token(), limit="500")["suppressions"]
    assert not {entry["to"] for entry in shown} & becomes.keys()


@pytest.mark.parametrize(
    ("method", "to"),
    [("smtp", "quota@example.com"), ("sms", "19900000011"), ("wechat", "TES-T00-11S"), ("wecom", "test-quota")],
)
def test_a_recipient_provokes_a_used_up_quota(deployment: Deployment, method: str, to: str) -> None:
    refused = send(deployment, make_key(deployment, deployment.token()), method, to)
    assert (refused["errorCode"], refused["reason"], refused["left"]) == (10013, "quota_used_up", 0)


def test_a_recipient_provokes_a_cap_of_its_address(deployment: Deployment) -> None:
    key = make_key(deployment, deployment.token())
    assert send(deployment, key, "sms", "19900000012")["reason"] == "recipient_cap"
    listed = send(deployment, key, "sms", ["19900000012", "13800138000"])["id"]
    settled = {message["to"]: message for message in deployment.wait_settled(listed, 2)}
    assert settled["19900000012"]["error"]["code"] == "recipient_cap"


def test_a_number_provokes_the_refusal_of_its_country(deployment: Deployment) -> None:
    key = make_key(deployment, deployment.token())
    refused = send(deployment, key, "sms", ["13800138000", "19900000013"])
    assert (refused["errorCode"], refused["reason"]) == (10016, "country_not_allowed")


def test_tests_have_a_quota_of_their_own(deployment: Deployment) -> None:
    """A thousand a day, and the user's own quota of one is neither asked nor used."""
    own = deployment.new_user_token(per_day=1)
    key, live = make_key(deployment, own), make_key(deployment, own, "live")
    domain = f"{secrets.token_hex(4)}.example.com"
    everybody = [f"reader{n}@{domain}" for n in range(999)]
    assert send(deployment, key, "smtp", everybody)["count"] == 999
    one, two = f"a@{domain}", f"b@{domain}"
    mail = {"to": one, "method": "smtp", "content": write("smtp"), "token": key}
    (row,) = deployment.call("GET", "/api/v2/me", token=key)["quotas"]
    assert (row["id"], row["limit"], row["left"], row["scope"]) == ("tests_per_day", 1_000, 1, "user")
    assert deployment.call("POST", "/api/v2/messages/check", mail)["quotas"] == [row]
    assert {quota["id"] for quota in deployment.call("GET", "/api/v2/me", token=own)["quotas"]} >= {"per_day"}
    assert send(deployment, key, "smtp", [one, two])["reason"] == "quota_used_up"
    assert send(deployment, live, "smtp", one)["errorCode"] == 0
    assert send(deployment, live, "smtp", one)["reason"] == "per_day_used_up"
    answer = deployment.client.post("/api/v2/messages", json=mail)
    assert answer.headers["ratelimit"].startswith('"tests_per_day";r=0;')
    last = answer.json()
    assert last["errorCode"] == 0
    assert send(deployment, key, "smtp", one)["quota"] == "tests_per_day"
    assert deployment.wait_settled(last["id"])[0]["provider"] == "test"
    assert {mail["to"] for mail in deployment.inbox(method="smtp") if mail["to"].endswith(domain)} <= {one}


def test_a_live_message_is_not_sent_again_by_a_test_key_and_a_test_stays_one(deployment: Deployment) -> None:
    token = deployment.token()
    key, live = make_key(deployment, token), make_key(deployment, token, "live")
    real, played = (send(deployment, shown_key, "smtp", "bounce+again@example.com")["id"] for shown_key in (live, key))
    assert [deployment.wait_settled(request)[0]["status"] for request in (real, played)] == ["failed", "failed"]

    def resend(by: str, request: str) -> dict[str, Any]:
        return deployment.call("POST", "/api/v2/resend", {"token": by, "id": request, "again": True})

    assert resend(key, real)["reason"] == "not_a_test"
    again = resend(live, played)["id"]
    deployment.wait_settled(again)
    assert deployment.call("GET", f"/api/v2/requests/{again}", token=token)["test"] is True


def test_an_idempotency_key_of_a_test_is_free_for_the_real_message(deployment: Deployment) -> None:
    token = deployment.token()
    to = f"{secrets.token_hex(4)}@example.com"
    mail = {"to": to, "method": "smtp", "content": write("smtp")}
    ids = [
        deployment.client.post(
            "/api/v2/messages",
            json=mail,
            headers={"Authorization": f"Bearer {make_key(deployment, token, kind)}", "Idempotency-Key": "order-1"},
        ).json()["id"]
        for kind in ("test", "live")
    ]
    assert ids[0] != ids[1]
    wait(lambda: len(deployment.inbox(method="smtp", to=to)) == 1, 60)


@pytest.mark.long  # two thousand messages
def test_a_flood_of_tests_delays_no_message(tmp_path: Path) -> None:
    """Two thousand tests, of which each waits for its turn, and then messages that reach people."""
    with running(tmp_path) as deployment:
        deployment.open_wide()
        token, live = deployment.token(), make_key(deployment, deployment.token(), "live")
        floods = [make_key(deployment, deployment.new_user_token()) for _ in range(2)]
        slow = [f"slow+{n}@example.com" for n in range(1_000)]
        requests = [send(deployment, key, "smtp", slow)["id"] for key in floods]

        def count_queued() -> int:
            shown = (deployment.call("GET", f"/api/v2/requests/{request}", token=token) for request in requests)
            return sum(row["counts"]["queued"] for row in shown if row["errorCode"] == 0)

        wait(lambda: count_queued() >= 1_500, 60, why=lambda: f"{count_queued()} tests wait: it is no flood")
        people = [f"awaited{n}@example.com" for n in range(20)]
        for address in people:
            assert send(deployment, live, "smtp", address)["errorCode"] == 0

        wait(lambda: {mail["to"] for mail in deployment.inbox(method="smtp")} >= set(people), 60)

        assert count_queued() >= 1_000, "the tests went first"
        assert {mail["to"] for mail in deployment.inbox(method="smtp")} == set(people)


def test_events_and_callbacks_of_tests_are_marked(deployment: Deployment) -> None:
    token = deployment.new_user_token()
    key, live = make_key(deployment, token), make_key(deployment, token, "live")
    start = deployment.call("GET", "/api/v2/events", token=token)["next"]
    for by in (key, live):
        deployment.wait_settled(send(deployment, by, "smtp", "bounce+told@example.com")["id"])
    told: list[dict[str, Any]] = []

    def read() -> bool:
        told[:] = deployment.call("GET", "/api/v2/events", token=token, after=start)["events"]
        return [event["type"] for event in told].count("request.settled") == 2

    wait(read, 60, why=lambda: str(told))
    by_key = {(event["type"], event["data"]["test"], event["data"]["key"]) for event in told}
    assert {kind for kind, is_test, _ in by_key if is_test} == {kind for kind, is_test, _ in by_key if not is_test}
    assert {"message.failed", "request.settled"} <= {kind for kind, *_ in by_key}
