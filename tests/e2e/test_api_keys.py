"""A program sends with an API key, from its making to its end."""

import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of users")


def test_a_key_sends_in_both_versions_until_it_is_ended(deployment: Deployment) -> None:
    token = deployment.token()
    asked = {"token": token, "name": "library system", "kind": "live", "scopes": ["send:smtp", "query"]}
    made = deployment.call("POST", "/api/v2/keys", asked)
    mail = {"to": "li@example.com", "method": "smtp", "content": {"subject": "hello", "text": "您好"}}
    for path in ("/api/send", "/api/v2/messages"):
        assert deployment.call("POST", path, {"token": made["key"], **mail})["errorCode"] == 0
    assert deployment.call("GET", "/api/query", token=made["key"])["errorCode"] == 0
    assert deployment.call("GET", "/api/v2/me", token=made["key"])["key"] == {
        "id": made["id"],
        "name": "library system",
        "kind": "live",
        "scopes": ["send:smtp", "query"],
        "expires_at": None,
    }
    assert deployment.call("GET", "/api/v2/keys", token=made["key"])["reason"] == "not_by_key"

    def list_sent() -> list[str]:
        found = deployment.call("GET", "/api/v2/messages", token=made["key"], key="library system")["messages"]
        return [message["id"] for message in found if message["status"] == "sent"]

    wait(lambda: len(list_sent()) == 2, 60)
    for message in list_sent():
        request = message.partition("-")[0]
        assert deployment.call("GET", f"/api/v2/requests/{request}", token=token)["key"] == "library system"

    def is_use_shown() -> bool:
        listed = deployment.call("GET", "/api/v2/keys", token=token, limit="500")["keys"]
        (own,) = (key for key in listed if key["id"] == made["id"])
        return own["last_used_at"] is not None and own["last_used_from"] == "127.0.0.1"

    wait(is_use_shown, 60)
    assert deployment.call("DELETE", f"/api/v2/keys/{made['id']}", {"token": token})["errorCode"] == 0
    for path in ("/api/send", "/api/v2/messages"):
        assert deployment.call("POST", path, {"token": made["key"], **mail})["errorCode"] == 10005


def test_a_leaked_key_is_ended_without_a_log_in(deployment: Deployment) -> None:
    asked = {"token": deployment.token(), "name": "leaked", "kind": "live", "scopes": ["query"]}
    key = deployment.call("POST", "/api/v2/keys", asked)["key"]
    assert deployment.call("GET", "/api/v2/me", token=key)["errorCode"] == 0
    answer = deployment.client.post("/api/v2/keys/leaked", json={"key": key})
    assert (answer.status_code, answer.content) == (204, b"")
    assert deployment.call("GET", "/api/v2/me", token=key)["errorCode"] == 10005
