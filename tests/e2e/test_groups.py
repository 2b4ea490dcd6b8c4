"""Groups through the public API: members are sent to by the group's name."""

import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of users")

MAIL: dict[str, Any] = {"method": "smtp", "content": {"subject": "家长会", "text": "周五下午三点。"}}


def _make_group(deployment: Deployment, token: str, members: Sequence[dict[str, Any]]) -> str:
    """Make a group of these members; return its name."""
    name = f"班级 {secrets.token_hex(4)}"
    assert deployment.call("POST", "/api/v2/groups", {"token": token, "name": name})["errorCode"] == 0
    path = f"/api/v2/groups/{name}/members"
    added = deployment.call("POST", path, {"token": token, "members": list(members)})
    assert (added["added"], added["problems"]) == (len(members), [])
    return name


@pytest.fixture
def token(deployment: Deployment) -> str:
    """Return the token of a new user."""
    return deployment.token(deployment.new_user(), PASSWORD)


def test_a_send_to_groups_reaches_each_member_once_but_who_unsubscribed(deployment: Deployment, token: str) -> None:
    """A suppressed person stays a member, and members without an address of the method are counted."""
    run = secrets.token_hex(4)
    people = [f"{name}-{run}@example.com" for name in ("zhang", "li", "wang")]
    first = _make_group(deployment, token, [{"to": people[0]}, {"to": people[1]}, {"to": "13711112222"}])
    second = _make_group(deployment, token, [{"contacts": {"smtp": people[1].upper()}}, {"to": people[2]}])
    suppressed = {"token": deployment.token(), "method": "smtp", "to": people[2]}
    assert deployment.call("POST", "/api/v2/suppressions", suppressed)["errorCode"] == 0

    body = {"token": token, "groups": [first, second], **MAIL}
    check = deployment.call("POST", "/api/v2/messages/check", body)
    assert (check["count"], check["duplicates"], check["without_address"], check["suppressed"]) == (3, 1, 1, 1), check
    sent = deployment.call("POST", "/api/v2/messages", body)
    assert (sent["count"], sent["without_address"]) == (3, 1), sent
    settled = deployment.wait_settled(sent["id"], count=3)
    assert {message["to"]: message["status"] for message in settled} == {
        people[0]: "sent", people[1]: "sent", people[2]: "failed",
    }  # fmt: skip
    members = deployment.call("GET", f"/api/v2/groups/{second}/members", token=token)["members"]
    assert people[2] in [member["contacts"]["smtp"] for member in members]


def test_what_is_wrong_with_groups_is_refused_with_its_remedy(deployment: Deployment, token: str) -> None:
    group = _make_group(deployment, token, [{"to": "13711112222"}])
    other = deployment.token(deployment.new_user(), PASSWORD)
    for fields, code, part in (
        ({"groups": ["nobody's"]}, 10016, "nobody's"),
        ({"groups": []}, 10017, "groups"),
        ({"groups": "a"}, 10017, "groups"),
        ({"groups": [3]}, 10017, "groups"),
        ({"groups": [group], "to": "li@example.com"}, 10017, "groups"),
        ({"groups": [group]}, 10011, "邮箱地址"),
        ({"groups": ["g"] * 21}, 10017, "20"),
        ({"groups": ["a\0"]}, 10017, "U+0000"),
        ({}, 10002, "to"),
    ):
        refused = deployment.call("POST", "/api/v2/messages", {"token": token, **MAIL, **fields})
        assert (refused["errorCode"], part in refused["detail"]) == (code, True), (fields, refused)
    sms = {"groups": [group], "method": "sms", "content": "明天下雨"}
    assert deployment.call("POST", "/api/v2/messages", {"token": other, **sms})["reason"] == "no_such_group"
    assert deployment.call("POST", "/api/v2/messages", {"token": token, **sms})["errorCode"] == 0
    v1 = deployment.call("POST", "/api/send", {"token": token, **sms})
    assert v1["errorCode"] == 10002


def test_more_people_than_a_send_takes_are_refused_with_their_number(deployment: Deployment, token: str) -> None:
    name = _make_group(deployment, token, [{"to": f"138{number:08}"} for number in range(10_000)])
    more = {"token": token, "members": [{"to": "13900000001"}]}
    deployment.call("POST", f"/api/v2/groups/{name}/members", more)
    body = {"token": token, "groups": [name], "method": "sms", "content": "明天下雨"}
    refused = deployment.call("POST", "/api/v2/messages", body)
    assert (refused["errorCode"], "10001" in refused["detail"]) == (10011, True), refused
