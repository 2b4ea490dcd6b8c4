"""A person's copy has what every service keeps of them, and nothing of other people."""

import base64
import secrets
from typing import Any

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment, make_attachment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of users")


def export(deployment: Deployment, **of: str) -> dict[str, Any]:
    """Make a copy, and return it."""
    begun = deployment.call("POST", "/api/v2/exports", {"token": deployment.token(), **of})
    assert begun["errorCode"] == 0, begun
    path = f"/api/v2/exports/{begun['id']}"

    def is_done() -> bool:
        return bool(deployment.call("GET", path, token=deployment.token())["state"] == "done")

    wait(is_done, within_s=60)
    url = deployment.call("GET", path, token=deployment.token())["url"]
    copy: dict[str, Any] = deployment.call("GET", url, token=deployment.token())
    return copy


def plant(deployment: Deployment, to: str) -> str:
    """Send two mails to a person and another, with events wanted; return the request's id."""
    sender = deployment.new_user(per_hour=100, per_day=100)
    token = deployment.token(sender, PASSWORD)
    callback = {"token": token, "url": "https://example.com/imsg", "events": ["message.sent"]}
    deployment.call("POST", "/api/v2/callbacks", callback)
    deployment.call("GET", "/api/v2/events", token=token)
    body = {
        "token": token,
        "method": "smtp",
        "to": [to, "other@example.com"],
        "content": {"subject": "会议纪要", "text": "请查收"},
        "attachment": [make_attachment("纪要.txt", b"the minutes")],
    }
    request: str = deployment.call("POST", "/api/v2/messages", body)["id"]
    deployment.wait_settled(request, count=2)
    return request


def test_a_copy_has_the_data_of_its_address_alone(deployment: Deployment) -> None:
    to = f"zhang.san{secrets.token_hex(4)}@example.com"
    request = plant(deployment, to)
    suppressed = {"token": deployment.token(), "method": "smtp", "to": to, "note": "asked by phone"}
    assert deployment.call("POST", "/api/v2/suppressions", suppressed)["errorCode"] == 0
    group = {"token": deployment.token(), "name": "exported"}
    assert deployment.call("POST", "/api/v2/groups", group)["errorCode"] == 0
    member = {"contacts": {suppressed["method"]: suppressed["to"]}, "params": {"姓名": "张三"}}
    members = {"token": deployment.token(), "members": [member]}
    assert deployment.call("POST", "/api/v2/groups/exported/members", members)["added"] == 1

    def has_events() -> bool:
        return bool(export(deployment, method="smtp", to=to)["events"])

    wait(has_events, within_s=60)
    copy = export(deployment, method="smtp", to=to.title())

    (message,) = copy["messages"]
    assert (message["id"], message["to"], message["content"]["text"]) == (f"{request}-0", to, "请查收")
    assert message["timeline"]
    assert base64.b64decode(message["files"][0]["body_base64"]) == b"the minutes"
    assert [suppression["note"] for suppression in copy["suppressions"]] == ["asked by phone"]
    assert [(group["group"], group["params"]) for group in copy["groups"]] == [("exported", {"姓名": "张三"})]
    assert {event["data"]["to"] for event in copy["events"]} == {to}
    assert copy["users"] == []
    assert "other@example.com" not in str(copy)


def test_a_users_copy_has_the_account_and_all_its_contacts(deployment: Deployment) -> None:
    mail, number = f"li.wei{secrets.token_hex(4)}@example.com", f"+86138{secrets.randbelow(10**8):08d}"
    name = deployment.new_user(email=mail, phone=number)
    request = plant(deployment, name)

    copy = export(deployment, username=name)

    assert [user["username"] for user in copy["users"]] == [name]
    assert copy["people"] == [{"method": "smtp", "to": mail}, {"method": "sms", "to": number}]
    assert [message["id"] for message in copy["messages"]] == [f"{request}-0"]
    assert "password" not in str(copy)


def test_an_erasure_takes_the_copies_with_it(deployment: Deployment) -> None:
    to = f"wang.wu{secrets.token_hex(4)}@example.com"
    plant(deployment, to)
    begun = deployment.call("POST", "/api/v2/exports", {"token": deployment.token(), "method": "smtp", "to": to})
    path = f"/api/v2/exports/{begun['id']}"
    wait(lambda: bool(deployment.call("GET", path, token=deployment.token())["state"] == "done"), within_s=60)
    erasure = {"token": deployment.token(), "method": "smtp", "to": to}
    assert deployment.call("POST", "/api/v2/erasures", erasure)["errorCode"] == 0

    def is_gone() -> bool:
        return deployment.call("GET", path, token=deployment.token()).get("reason") == "not_found"

    wait(is_gone, within_s=60)
    wait(lambda: export(deployment, method="smtp", to=to)["messages"] == [], within_s=60)


def test_an_unknown_person_is_refused_and_only_administrators_may_ask(deployment: Deployment) -> None:
    def ask(token: str, **of: str) -> str:
        return str(deployment.call("POST", "/api/v2/exports", {"token": token, **of})["reason"])

    admin = deployment.token()
    assert ask(admin) == "missing"
    assert ask(admin, method="smtp") == "missing"
    assert ask(admin, method="smtp", to="nobody") == "recipients_invalid"
    assert ask(admin, username="nobody-of-this-name") == "no_such_user"
    assert ask(admin, username="admin", method="smtp", to="a@example.com") == "wrong_type"
    assert ask(deployment.new_user_token(), username="admin") == "no_right"
    auditor = deployment.new_user()
    assert deployment.call("PATCH", f"/api/v2/users/{auditor}", {"token": admin, "role": "auditor"})["errorCode"] == 0
    assert ask(deployment.token(auditor, PASSWORD), username="admin") == "no_right"
