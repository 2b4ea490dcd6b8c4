"""A message to a username reveals nothing about the address behind it."""

import json
import secrets

import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of users")


@pytest.fixture
def secret() -> str:
    """Return an address whose mailbox refuses, which no answer may contain."""
    return f"bounce+{secrets.token_hex(6)}@example.com"


def settle(deployment: Deployment, token: str, request: str) -> dict[str, object]:
    """Wait until the one message of a request has failed; return it as its sender sees it."""

    def has_failed() -> bool:
        listed = deployment.call("GET", "/api/query", token=token, id=request)["messages"]
        return [message["status"] for message in listed] == ["failed"]

    wait(has_failed, 60)
    (message,) = deployment.call("GET", "/api/query", token=token, id=f"{request}-0")["messages"]
    return dict(message)


def test_a_refusal_that_names_the_address_names_the_user_to_the_sender(deployment: Deployment, secret: str) -> None:
    name = deployment.new_user(email=secret)
    token = deployment.new_user_token()
    body = {"token": token, "to": name, "method": "smtp", "content": {"subject": "hello", "text": "您好"}}
    request = deployment.call("POST", "/api/send", body)["id"]

    seen = settle(deployment, token, request)
    listed = deployment.call("GET", "/api/query", token=token)
    messages = deployment.call("GET", "/api/query", token=token, to=name)["messages"]
    newer = deployment.call("GET", "/api/v2/messages", token=token, id=request)

    assert name in str(seen["error"])
    for answer in (seen, listed, messages, newer):
        said = json.dumps(answer, ensure_ascii=False)
        assert secret not in said
        assert secret.partition("@")[0] not in said
    assert len(messages) == 1
    assert secret in json.dumps(settle(deployment, deployment.token(), request))  # the administrator may see it


def test_a_guess_at_the_address_finds_nothing_of_what_was_sent_by_name(deployment: Deployment, secret: str) -> None:
    name = deployment.new_user(email=secret)
    token = deployment.new_user_token()
    content = {"subject": "hello", "text": "您好"}
    for to in (name, name, f"{secret.partition('@')[0]}@EXAMPLE.com"):
        body = {"token": token, "to": to, "method": "smtp", "content": content}
        assert deployment.call("POST", "/api/send", body)["errorCode"] == 0
    wait(lambda: len(deployment.call("GET", "/api/query", token=token)["messages"]) == 3, 60)

    for limit in ("1", "2", "500"):
        guessed = deployment.call("GET", "/api/query", token=token, to=secret, limit=limit)
        assert [message["to"].lower() for message in guessed["messages"]] == [secret]
        assert guessed["next"] is None
    assert len(deployment.call("GET", "/api/query", token=deployment.token(), to=secret)["messages"]) == 3
