"""Events of a message reach its owner, by callbacks and by a cursor."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from imsg_testing.deployment import Deployment
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.stacks import CALLING
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group(CALLING)

TESTS_AT_ONCE = 4
"""Of one user (docs/callbacks.md)."""


@pytest.fixture
def told(calling_stack: Deployment) -> Deployment:
    """`imsg up` that may call this machine."""
    return calling_stack


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a client's own receiver."""
    with receiving() as opened:
        yield opened


def add(told: Deployment, receiver: Receiver, *events: str, path: str = "/") -> dict[str, str]:
    """Register a callback; return its id and secret."""
    body = {"url": receiver.url(path), "events": list(events)}
    answer = told.call("POST", "/api/v2/callbacks", body | {"token": told.token()})
    assert answer["errorCode"] == 0, answer
    return {"id": answer["id"], "secret": answer["secret"]}


def test_a_sent_messages_event_is_verified_by_the_published_library(told: Deployment, receiver: Receiver) -> None:
    made = add(told, receiver, "message.sent", "message.failed", "request.settled")
    start = told.call("GET", "/api/v2/events", {"token": told.token()})["next"]

    sent = told.send("zhang@example.com")

    wait(lambda: sorted(receiver.types()) == ["message.sent", "request.settled"], why=lambda: str(receiver.types()))
    for call in receiver.calls:
        Webhook(made["secret"]).verify(call.body, dict(call.headers))
        assert call.headers["webhook-id"] == call.event["id"]
    (message,) = [call.event["data"] for call in receiver.calls if call.event["type"] == "message.sent"]
    assert (message["id"], message["to"], message["status"]) == (f"{sent['id']}-0", "zhang@example.com", "sent")
    read = told.call("GET", "/api/v2/events", {"token": told.token()}, after=start, wait="10")
    assert {event["id"] for event in read["events"]} == set(receiver.ids())
    again = told.call("GET", "/api/v2/events", {"token": told.token()}, after=read["next"])
    assert again["events"] == []

    def deliveries() -> list[tuple[str, int, int]]:
        page = told.call("GET", f"/api/v2/callbacks/{made['id']}/deliveries", {"token": told.token()})
        return [(delivery["state"], delivery["status"], delivery["attempts"]) for delivery in page["deliveries"]]

    wait(lambda: deliveries() == [("delivered", 204, 1)] * 2, why=lambda: str(deliveries()))
    told.call("DELETE", f"/api/v2/callbacks/{made['id']}", {"token": told.token()})


def test_messages_have_references_of_their_own(told: Deployment, receiver: Receiver) -> None:
    made = add(told, receiver, "message.sent")
    body = {"method": "smtp", "content": {"subject": "s", "text": "t"}, "reference": "invoices", "token": told.token()}
    to = [{"to": "zhang@example.com", "reference": "invoice-17"}, "li@example.com"]
    wrong = told.call("POST", "/api/v2/messages", body | {"to": [{"to": "zhang@example.com", "reference": "a\nb"}]})
    assert "to.0.reference" in wrong["detail"], wrong

    sent = told.call("POST", "/api/v2/messages", body | {"to": to})

    wait(lambda: len(receiver.types()) == 2, why=lambda: str(receiver.types()))
    expected = {"zhang@example.com": "invoice-17", "li@example.com": "invoices"}
    assert {call.event["data"]["to"]: call.event["data"]["reference"] for call in receiver.calls} == expected
    shown = told.call("GET", "/api/v2/messages", {"token": told.token()}, id=sent["id"])["messages"]
    assert {message["to"]: message["reference"] for message in shown} == expected
    told.call("DELETE", f"/api/v2/callbacks/{made['id']}", {"token": told.token()})


def test_what_failed_is_seen_with_its_answer_and_sent_again_when_asked(told: Deployment, receiver: Receiver) -> None:
    receiver.status, receiver.answer = 503, "维护中".encode()
    made = add(told, receiver, "message.sent")
    endpoint_path = f"/api/v2/callbacks/{made['id']}"
    told.send("li@example.com")

    def find_waiting() -> list[dict[str, Any]]:
        page = told.call("GET", f"{endpoint_path}/deliveries", {"token": told.token()}, state="waiting")
        found: list[dict[str, Any]] = page["deliveries"]
        return found

    wait(lambda: any(delivery["attempts"] for delivery in find_waiting()))
    (failed,) = find_waiting()
    assert (failed["status"], failed["answer"], failed["error"]) == (503, "维护中", "HTTP 503")
    (known,) = told.call("GET", "/api/v2/callbacks", {"token": told.token()})["callbacks"]
    assert (known["state"], known["waiting"]) == ("failing", 1)
    assert "secret" not in json.dumps({name: value for name, value in known.items() if name != "old_secret_until"})

    receiver.status = 200
    resent = told.call("POST", f"{endpoint_path}/deliveries/{failed['event']}/resend", {"token": told.token()})

    assert resent["errorCode"] == 0
    wait(lambda: told.call("GET", "/api/v2/callbacks", {"token": told.token()})["callbacks"][0]["state"] == "ok")
    rotated = told.call("POST", f"{endpoint_path}/rotate", {"token": told.token()})
    tried = told.call("POST", f"{endpoint_path}/test", {"token": told.token()})
    assert (tried["delivered"], tried["status"]) == (True, 200)
    (call,) = [call for call in receiver.calls if call.event["type"] == "callback.test"]
    for secret in (made["secret"], rotated["secret"]):
        Webhook(secret).verify(call.body, dict(call.headers))
    told.call("DELETE", endpoint_path, {"token": told.token()})


def test_tests_of_an_endpoint_that_hangs_are_bounded_by_user(told: Deployment, receiver: Receiver) -> None:
    made = add(told, receiver, "message.sent", path="/hang")
    endpoint_path = f"/api/v2/callbacks/{made['id']}"
    token, other = told.token(), told.new_user_token()

    def count_tests() -> int:
        return len(receiver.types("/hang"))

    with ThreadPoolExecutor(TESTS_AT_ONCE) as threads:
        hanging = [
            threads.submit(told.call, "POST", f"{endpoint_path}/test", {"token": token}) for _ in range(TESTS_AT_ONCE)
        ]
        wait(lambda: count_tests() == TESTS_AT_ONCE)
        refused = told.call("POST", f"{endpoint_path}/test", {"token": token})
        nobodys = told.call("POST", f"{endpoint_path}/test", {"token": other})
        receiver.hangs.set()
        ended = [call.result() for call in hanging]

    assert (refused["errorCode"], refused["reason"]) == (10016, "too_many_tries")
    assert nobodys["reason"] == "not_found", "another user is not held up"
    assert [delivery["delivered"] for delivery in ended] == [True] * TESTS_AT_ONCE
    assert told.call("POST", f"{endpoint_path}/test", {"token": token})["delivered"]
    told.call("DELETE", endpoint_path, {"token": token})


def test_a_url_that_leads_inside_is_refused(told: Deployment) -> None:
    for url in ("http://10.0.0.1/", "https://169.254.169.254/latest", "http://127.0.0.1.nip.invalid:99999/", "ftp://a"):
        answer = told.call("POST", "/api/v2/callbacks", {"url": url, "events": ["message.sent"], "token": told.token()})
        assert (answer["errorCode"], answer["reason"]) == (10017, "wrong_type"), url


def test_the_command_line_adds_tries_and_shows_a_callback(told: Deployment, receiver: Receiver) -> None:
    def imsg(*words: str) -> str:
        done = told.run(*words, COLUMNS="200")
        assert done.returncode == 0, done.stderr
        return done.stdout

    imsg("login", "admin", "--password", "123")
    made = json.loads(imsg("callbacks", "add", receiver.url(), "--event", "message.sent", "--json"))
    assert "204" in imsg("callbacks", "test", made["id"])
    told.send("wang@example.com")
    wait(lambda: "message.sent" in receiver.types())
    wait(lambda: "delivered" in imsg("callbacks", "deliveries", made["id"]))
    assert made["id"] in imsg("callbacks")
    imsg("callbacks", "remove", made["id"])


def test_who_may_do_what_of_callbacks_and_suppressions(told: Deployment, receiver: Receiver) -> None:
    """Another user's callback is not found, not even by administrators; suppressions are for administrators alone."""
    owner, other = (told.new_user_token() for _ in range(2))
    asked = {"url": receiver.url(), "events": ["message.sent"]}
    made = told.call("POST", "/api/v2/callbacks", asked | {"token": owner})
    entered = told.call(
        "POST", "/api/v2/suppressions", {"method": "smtp", "to": "gone@example.com", "token": told.token()}
    )
    endpoint_path = f"/api/v2/callbacks/{made['id']}"
    of_callbacks: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", endpoint_path, {"description": "mine now"}),
        ("POST", f"{endpoint_path}/test", {}),
        ("POST", f"{endpoint_path}/rotate", {}),
        ("POST", f"{endpoint_path}/recover", {"since": "2026-01-01T00:00:00Z"}),
        ("GET", f"{endpoint_path}/deliveries", {}),
        ("POST", f"{endpoint_path}/deliveries/evt_1/resend", {}),
        ("DELETE", endpoint_path, {}),
    ]
    of_suppressions: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api/v2/suppressions", {}),
        ("POST", "/api/v2/suppressions", {"method": "smtp", "to": "rival@example.com"}),
        ("DELETE", f"/api/v2/suppressions/{entered['id']}", {}),
    ]

    def refusals(calls: list[tuple[str, str, dict[str, Any]]], token: str | None) -> set[str]:
        fields = {} if token is None else {"token": token}
        return {told.call(verb, path, body | fields).get("reason", "none") for verb, path, body in calls}

    open_to_all = [
        ("GET", "/api/v2/callbacks", {}),
        ("POST", "/api/v2/callbacks", asked),
        ("GET", "/api/v2/events", {}),
    ]
    assert refusals([*of_callbacks, *of_suppressions, *open_to_all], None) == {"token_missing"}
    assert refusals([*of_callbacks, ("GET", endpoint_path, {})], other) == {"not_found"}
    assert refusals(of_callbacks[:-1], told.token()) == {"not_found"}
    for stranger in (other, told.token()):
        assert told.call("GET", "/api/v2/callbacks", {"token": stranger})["callbacks"] == []
    shown = told.call("GET", endpoint_path, {"token": told.token()})
    assert shown == told.call("GET", endpoint_path, {"token": owner})
    listed = told.call("GET", "/api/v2/callbacks", token=told.token(), username=shown["username"])
    assert [callback["id"] for callback in listed["callbacks"]] == [made["id"]]
    answer = told.call("GET", "/api/v2/callbacks", token=other, username=shown["username"])
    assert answer["reason"] == "no_right"
    assert refusals(of_suppressions[1:], other) == {"no_right"}
    channels = asked | {"events": ["channel.blocked"], "token": other}
    assert told.call("POST", "/api/v2/callbacks", channels)["reason"] == "no_right"

    told.call("POST", "/api/v2/messages", _mail("li@example.com", owner))
    wait(lambda: "message.sent" in receiver.types())
    read = told.call("GET", "/api/v2/events", {"token": owner})["events"]
    assert [event["type"] for event in read] == ["message.sent"]
    for stranger in (other, told.token()):
        told.call("GET", "/api/v2/events", {"token": stranger})
        theirs = told.call("GET", "/api/v2/events", {"token": stranger})["events"]
        assert read[0]["id"] not in {event["id"] for event in theirs}
    assert told.call("PATCH", endpoint_path, {"methods": ["sms"], "token": owner})["methods"] == ["sms"]
    assert told.call("PATCH", endpoint_path, {"description": "x", "token": owner})["methods"] == ["sms"]
    assert told.call("PATCH", endpoint_path, {"methods": None, "token": owner})["methods"] is None
    assert told.call("DELETE", endpoint_path, {"token": told.token()})["errorCode"] == 0
    assert refusals([("GET", endpoint_path, {})], owner) == {"not_found"}


def test_users_see_the_suppressions_that_failed_their_own_messages_and_nothing_of_others(told: Deployment) -> None:
    admin = told.token()
    colleague = told.new_user(email="colleague@example.com")
    owner, other = (told.new_user_token() for _ in range(2))
    for to in ("colleague@example.com", "left@example.com", "never@example.com"):
        entered = {"method": "smtp", "to": to, "reason": "hard_bounce", "note": "only for us", "token": admin}
        assert told.call("POST", "/api/v2/suppressions", entered)["added"] == 1
    for to in (colleague, "Left@example.com"):
        (message,) = told.wait_settled(told.call("POST", "/api/v2/messages", _mail(to, owner))["id"])
        assert message["error"]["code"] == "suppressed"

    page = told.call("GET", "/api/v2/suppressions", {"token": owner})["suppressions"]

    assert {suppression["to"] for suppression in page} == {colleague, "Left@example.com"}
    assert {(suppression["reason"], suppression["note"], suppression["added_by"]) for suppression in page} == {
        ("hard_bounce", "", None)
    }
    assert "colleague@" not in str(page)
    first = told.call("GET", "/api/v2/suppressions", token=owner, limit="1")
    second = told.call("GET", "/api/v2/suppressions", token=owner, limit="1", cursor=first["next"])
    assert [*first["suppressions"], *second["suppressions"]] == page
    assert told.call("GET", "/api/v2/suppressions", {"token": other})["suppressions"] == []
    assert told.call("GET", "/api/v2/suppressions", token=owner, reason="no")["reason"] == "wrong_type"


def _mail(to: str, token: str) -> dict[str, Any]:
    return {"method": "smtp", "to": to, "content": {"subject": "x", "text": "y"}, "token": token}
