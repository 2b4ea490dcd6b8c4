"""A name that is registered again, from outside: its new user has nothing of its predecessor's."""

from imsg_testing.api import PASSWORD, wait
from imsg_testing.stack import Stack


def test_a_name_registered_again_has_nothing_of_its_predecessors(stack: Stack) -> None:
    """Messages, counts, tokens, idempotency keys and resends; the administrator still sees all."""
    name = stack.new_user(per_hour=2)
    first = stack.call("POST", "/api/v2/login", {"username": name, "password": PASSWORD})["token"]
    mail = {"to": "li@example.com", "method": "smtp", "content": {"subject": "工资单", "text": "机密"}}
    key = {"Idempotency-Key": "the-key"}
    his = stack.client.post("/api/v2/messages", json={"token": first, **mail}, headers=key).json()["id"]
    stack.settled(his)
    assert [m["id"] for m in stack.call("GET", "/api/v2/messages", token=first)["messages"]] == [f"{his}-0"]

    assert stack.call("DELETE", f"/api/v2/users/{name}", token=stack.token())["errorCode"] == 0
    body = {"token": stack.token(), "username": name, "password": PASSWORD, "per_hour": 2}
    assert stack.call("POST", "/api/v2/register", body)["errorCode"] == 0
    second = stack.call("POST", "/api/v2/login", {"username": name, "password": PASSWORD})["token"]

    assert stack.call("GET", "/api/v2/messages", token=first)["errorCode"] == 10005
    assert stack.call("GET", "/api/v2/messages", token=second)["messages"] == []
    assert stack.call("GET", "/api/v2/messages", token=second, id=his)["messages"] == []
    assert stack.call("GET", "/api/v2/me", token=second)["used_hour"] == 0
    assert stack.call("POST", "/api/v2/resend", {"token": second, "id": his})["reason"] == "not_found"
    hers = [
        stack.client.post("/api/v2/messages", json={"token": second, **mail}, headers=key).json()["id"]
        for _ in range(2)
    ]
    assert hers[0] == hers[1] != his
    wait(lambda: len(stack.call("GET", "/api/v2/messages", token=second)["messages"]) == 1, 60, every_s=0.2, why=str)
    seen = stack.call("GET", "/api/v2/messages", token=stack.token(), username=name)["messages"]
    assert {m["id"] for m in seen} == {f"{his}-0", f"{hers[0]}-0"}
