"""A fallback through all of iMSG: another channel for whoever the first has not reached; what is unused comes back."""

from collections.abc import Sequence
from typing import Any

import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

NO_PHONE, UNREPORTED = "19900000002", "19900000006"
"""Numbers of the sandbox: one is refused, of the other nobody reports the delivery."""

PASSWORD = "correct horse"


def by_mail(after_s: int = 60) -> dict[str, Any]:
    """Describe a leg by mail."""
    return {"method": "smtp", "after_s": after_s, "content": {"subject": "another way", "text": "明天下雨"}}


def person(number: str, mail: str) -> dict[str, Any]:
    """Describe a recipient of an SMS who has a mailbox too."""
    return {"to": number, "contacts": {"smtp": mail}}


def send(deployment: Deployment, token: str, to: object, legs: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Send an SMS with a fallback; return the answer."""
    body = {"token": token, "method": "sms", "to": to, "content": "明天下雨", "fallback": list(legs), **more}
    return deployment.call("POST", "/api/v2/messages", body)


def show(deployment: Deployment, request: str) -> dict[str, Any]:
    """Show a request at a glance."""
    return deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())


def wait_settled(deployment: Deployment, request: str, within_s: float = 60) -> dict[str, Any]:
    """Wait until all legs of a request are settled; return what is shown of it."""
    wait(
        lambda: show(deployment, request).get("state") == "settled",
        within_s,
        0.2,
        lambda: str(show(deployment, request)),
    )
    return show(deployment, request)


def read_used(deployment: Deployment, token: str) -> dict[str, int]:
    """Return what a user has used of each quota."""
    me = deployment.call("GET", "/api/v2/me", token=token)
    return {quota["id"]: quota["used"] for quota in me["quotas"]}


def test_what_the_first_channel_refuses_goes_by_the_second_at_once(deployment: Deployment) -> None:
    to = person(NO_PHONE, "second@example.com")
    answer = send(deployment, deployment.token(), to, [by_mail()])
    assert [leg["method"] for leg in answer["legs"]] == ["sms", "smtp"]
    assert answer["legs"][0]["id"] == answer["id"]
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["not_reached"], shown["open"]) == (1, 0, 0)
    assert [(leg["id"], leg["state"]) for leg in shown["legs"]] == [(leg["id"], "settled") for leg in answer["legs"]]
    assert deployment.messages(answer["id"])[0]["status"] == "failed"
    (mail,) = deployment.messages(answer["legs"][1]["id"])
    assert (mail["status"], mail["to"], mail["id"]) == ("sent", NO_PHONE, f"{answer['legs'][1]['id']}-0")
    assert [one["to"] for one in deployment.inbox(to="second@example.com")] == ["second@example.com"]
    token = deployment.token()
    (listed,) = deployment.call("GET", "/api/v2/messages", id=mail["id"], token=token)["messages"]
    assert (listed["leg"], listed["leg_of"]) == (2, answer["id"])


def test_a_receipt_ends_it_and_the_leg_that_never_begins_is_given_back(deployment: Deployment) -> None:
    name = deployment.new_user()
    token = deployment.token(name, PASSWORD)
    rows = [{"id": "people", "counts": "recipients", "per": "day", "limit": 100}]
    path = f"/api/v2/users/{name}/quotas"
    headers = {"authorization": f"Bearer {deployment.token()}", "if-match": "*"}
    assert deployment.client.put(path, json={"quotas": rows}, headers=headers).json()["errorCode"] == 0
    people = [person(f"1380013811{n}", f"unused{n}@example.com") for n in range(3)]
    answer = send(deployment, token, people, [by_mail()])
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["legs"][1]["state"]) == (3, "unused")
    wait(lambda: read_used(deployment, token)["people"] == 3, 60)
    assert deployment.inbox(to="unused0@example.com") == []


def test_a_send_whose_legs_do_not_fit_a_quota_is_refused_whole(deployment: Deployment) -> None:
    name = deployment.new_user(phone="13800138123")
    token = deployment.token(name, PASSWORD)
    rows = [{"id": "texts", "counts": "segments", "per": "day", "method": "sms", "limit": 3}]
    headers = {"authorization": f"Bearer {deployment.token()}", "if-match": "*"}
    path = f"/api/v2/users/{name}/quotas"
    assert deployment.client.put(path, json={"quotas": rows}, headers=headers).json()["errorCode"] == 0
    leg = {"method": "sms", "after_s": 60, "content": "明天下雨"}

    def send_mail(count: int) -> dict[str, Any]:
        to = [{"to": f"full{n}@example.com", "contacts": {"sms": f"1380013820{n}"}} for n in range(count)]
        content = {"subject": "first", "text": "明天下雨"}
        body = {"token": token, "method": "smtp", "to": to, "content": content, "fallback": [leg]}
        return deployment.call("POST", "/api/v2/messages", body)

    refused = send_mail(10)
    assert (refused["errorCode"], refused["quota"]) == (10013, "texts")
    assert read_used(deployment, token)["texts"] == 0
    assert deployment.inbox(to="full0@example.com") == []
    taken = send_mail(3)
    assert taken["errorCode"] == 0, taken
    wait_settled(deployment, taken["id"])
    wait(lambda: read_used(deployment, token)["texts"] == 0, 60)


@pytest.mark.timeout(240)
def test_a_code_whose_delivery_nobody_reports_goes_by_mail_after_a_minute(deployment: Deployment) -> None:
    to = person(UNREPORTED, "code@example.com")
    name = deployment.new_user()
    allowed = {"token": deployment.token(), "may_send_codes": True}
    assert deployment.call("PATCH", f"/api/v2/users/{name}", allowed)["errorCode"] == 0
    token = deployment.token(name, PASSWORD)
    answer = send(deployment, token, to, [by_mail()], content="您的验证码是 123456", category="code")
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"], 180)
    assert (shown["reached"], shown["legs"][1]["state"]) == (1, "settled")
    assert len(deployment.inbox(to="code@example.com")) == 1


def test_whoever_has_no_address_of_the_leg_is_named_so(deployment: Deployment) -> None:
    to = [person(NO_PHONE, "has@example.com"), "+8619900000007"]
    answer = send(deployment, deployment.token(), to, [by_mail()])
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["not_reached"]) == (1, 1)
    second = {one["id"]: one for one in deployment.messages(answer["legs"][1]["id"])}
    missed = second[f"{answer['legs'][1]['id']}-1"]
    assert (missed["status"], missed["error"]["code"]) == ("failed", "no_contact")


def test_a_leg_for_which_nobody_has_an_address_is_passed_by(deployment: Deployment) -> None:
    answer = send(deployment, deployment.token(), "+8619900000002", [by_mail()])
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["not_reached"], shown["open"]) == (0, 1, 0)
    (missed,) = deployment.messages(answer["legs"][1]["id"])
    assert (missed["status"], missed["error"]["code"]) == ("failed", "no_contact")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"fallback": []}, "fallback"),
        ({"fallback": [by_mail()] * 4}, "fallback"),
        ({"fallback": [by_mail(59)]}, "fallback.0.after_s"),
        ({"fallback": [by_mail() | {"method": "fax"}]}, "fallback.0.method"),
        ({"fallback": [by_mail() | {"method": "wecom", "until": "delivered"}]}, "fallback.0.until"),
        ({"fallback": [by_mail() | {"afters": 1}]}, "fallback.0.afters"),
        ({"until": "sent"}, "until"),
    ],
)
def test_what_no_fallback_can_be_is_refused_and_named(
    deployment: Deployment, fields: dict[str, Any], named: str
) -> None:
    to = person("13800138000", "wrong@example.com")
    body = {"token": deployment.token(), "method": "sms", "to": to, "content": "明天下雨", **fields}
    refused = deployment.call("POST", "/api/v2/messages", body)
    assert refused["errorCode"] != 0
    assert named in refused["detail"], refused


def test_an_alarm_that_wechat_refuses_goes_by_sms_at_once_and_a_test_key_goes_the_whole_way(
    deployment: Deployment,
) -> None:
    scopes = ["query", "send:wechat", "send:sms"]
    body = {"token": deployment.token(), "name": "legs", "kind": "test", "scopes": scopes}
    key = deployment.call("POST", "/api/v2/keys", body)["key"]
    alarm = {
        "token": key, "method": "wechat", "content": "机房断电",
        "to": {"to": "TES-T00-02R", "contacts": {"sms": "13800138000"}},
        "fallback": [{"method": "sms", "after_s": 120, "content": "机房断电"}],
    }  # fmt: skip
    answer = deployment.call("POST", "/api/v2/messages", alarm)
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["test"]) == (1, True)
    assert deployment.messages(answer["id"])[0]["error"]["code"] == "43004"
    assert deployment.messages(answer["legs"][1]["id"])[0]["status"] == "delivered"
