"""The audit: the user, the action, the address, the key, and the change."""

import json
from typing import Any

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of users")


def test_a_change_is_shown_as_it_was_and_as_it_is_and_hides_the_person(deployment: Deployment) -> None:
    name = deployment.new_user(phone="13812341234")
    fields = {"phone": "13912345678", "role": "operator", "token": deployment.token()}
    assert deployment.call("PATCH", f"/api/v2/users/{name}", fields)["errorCode"] == 0

    line = deployment.wait_audited(target=name, action="update")

    assert set(line) == {"at", "actor", "key", "address", "action", "target", "before", "after", "request"}
    assert (line["actor"], line["key"], line["address"]) == ("admin", None, "127.0.0.1")
    assert (line["before"]["role"], line["after"]["role"]) == ("user", "operator")
    digests = {side: line[side]["phone"].pop("digest") for side in ("before", "after")}
    assert (line["before"]["phone"], line["after"]["phone"]) == ({"masked": "+86***34"}, {"masked": "+86***78"})
    assert digests["before"] != digests["after"]
    assert "13812341234" not in str(line)


def test_log_ins_and_refused_ones_are_there(deployment: Deployment) -> None:
    name = deployment.new_user()
    deployment.call("POST", "/api/v2/login", {"username": name, "password": "a wrong one"})
    deployment.call("POST", "/api/v2/login", {"username": "nobody-of-this-name", "password": "a wrong one"})
    deployment.token(name, PASSWORD)

    assert deployment.wait_audited(action="login", target=name)["actor"] == name
    refused = deployment.wait_audited(action="login_failed", target=name)
    assert (refused["actor"], refused["after"]) == ("imsg:login", {"reason": "wrong_password"})
    unknown = deployment.wait_audited(action="login_failed", target="imsg:unknown")
    assert "nobody-of-this-name" not in str(unknown)


def test_a_read_of_anothers_messages_is_audited_with_its_key(deployment: Deployment) -> None:
    sender = deployment.new_user_token()
    message = {"method": "smtp", "to": "li.si@example.com", "content": {"subject": "s", "text": "t"}}
    request = deployment.call("POST", "/api/v2/messages", message | {"token": sender})["id"]
    deployment.wait_settled(request)
    wanted = {"name": "the archive", "kind": "live", "scopes": ["query"], "token": deployment.token()}
    key = deployment.call("POST", "/api/v2/keys", wanted)["key"]
    for _ in range(3):
        assert deployment.call("GET", "/api/v2/messages", token=key, id=request)["messages"]
    assert deployment.call("GET", "/api/v2/messages", token=sender, id=request)["messages"]

    line = deployment.wait_audited(action="content_read", target=request)
    read = deployment.call("GET", "/api/v2/audit", token=deployment.token(), action="content_read", target=request)

    assert (line["actor"], line["key"]) == ("admin", "the archive")
    assert [line["key"] for line in read["audit"] if line["key"]] == ["the archive"]
    assert {line["actor"] for line in read["audit"]} == {"admin"}


def test_a_callback_is_there_from_its_beginning_to_its_end(deployment: Deployment) -> None:
    name = deployment.new_user()
    token = deployment.token(name, PASSWORD)
    wanted = {"token": token, "url": "https://example.com/hooks/s3cret?for=zhang.san", "events": ["message.sent"]}
    callback = deployment.call("POST", "/api/v2/callbacks", wanted)["id"]
    path = f"/api/v2/callbacks/{callback}"
    assert deployment.call("PATCH", path, {"token": token, "enabled": False})["errorCode"] == 0
    assert deployment.call("POST", f"{path}/rotate", {"token": token})["errorCode"] == 0
    assert deployment.call("DELETE", path, token=token)["errorCode"] == 0

    line = deployment.wait_audited(target=callback, action="callback_removed")
    changed = deployment.wait_audited(target=callback, action="callback_changed")
    added = deployment.wait_audited(target=callback, action="callback_added")

    assert (line["actor"], line["before"]["enabled"]) == (name, False)
    assert (changed["before"]["enabled"], changed["after"]["enabled"]) == (True, False)
    assert added["after"]["host"] == "example.com"
    assert deployment.wait_audited(target=callback, action="callback_secret_rotated")["actor"] == name
    assert "s3cret" not in str(added)


def test_a_pause_is_there_with_its_reason(deployment: Deployment) -> None:
    for paused in (True, False):
        body = {"paused": paused, "reason": "搬迁", "token": deployment.token()}
        assert deployment.call("PATCH", "/api/v2/channels/sms", body)["errorCode"] == 0

    assert deployment.wait_audited(action="channel_paused", target="sms")["after"]["reason"] == "搬迁"
    assert deployment.wait_audited(action="channel_resumed", target="sms")["actor"] == "admin"


def test_all_of_it_comes_in_lines_newest_first_and_by_pages_the_same(deployment: Deployment) -> None:
    first, _, last = (deployment.wait_audited(action="register", target=deployment.new_user())["at"] for _ in range(3))
    query = {"action": "register", "since": first, "until": last}
    headers = {"authorization": f"Bearer {deployment.token()}", "accept": "application/x-ndjson"}

    answer = deployment.client.get("/api/v2/audit", headers=headers, params={**query, "total": 1})

    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    pages: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {**query, "limit": "1", "cursor": cursor, "total": "1"}
        page = deployment.call("GET", "/api/v2/audit", token=deployment.token(), **asked)
        assert page["total"] == len(lines)
        pages += page["audit"]
        cursor = page["next"]
    assert lines == pages
    assert len(lines) >= 2
    assert [line["at"] for line in lines] == sorted((line["at"] for line in lines), reverse=True)


def test_who_may_not_read_it_does_not(deployment: Deployment) -> None:
    answer = deployment.call("GET", "/api/v2/audit", token=deployment.new_user_token())

    assert answer["reason"] == "no_right"
