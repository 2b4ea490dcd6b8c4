"""The new user of a name that is registered again has nothing of its former user."""

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")


def test_a_name_registered_again_has_nothing_of_its_predecessors(deployment: Deployment) -> None:
    """Messages, counts, tokens, idempotency keys and resends; the administrator still sees all."""
    name = deployment.new_user(per_hour=2)
    first = deployment.call("POST", "/api/v2/login", {"username": name, "password": PASSWORD})["token"]
    mail = {"to": "li@example.com", "method": "smtp", "content": {"subject": "工资单", "text": "机密"}}
    key = {"Idempotency-Key": "the-key"}
    his = deployment.client.post("/api/v2/messages", json={"token": first, **mail}, headers=key).json()["id"]
    deployment.wait_settled(his)
    assert [m["id"] for m in deployment.call("GET", "/api/v2/messages", token=first)["messages"]] == [f"{his}-0"]

    assert deployment.call("DELETE", f"/api/v2/users/{name}", token=deployment.token())["errorCode"] == 0
    body = {"token": deployment.token(), "username": name, "password": PASSWORD, "per_hour": 2}
    assert deployment.call("POST", "/api/v2/register", body)["errorCode"] == 0
    second = deployment.call("POST", "/api/v2/login", {"username": name, "password": PASSWORD})["token"]

    assert deployment.call("GET", "/api/v2/messages", token=first)["errorCode"] == 10005
    assert deployment.call("GET", "/api/v2/messages", token=second)["messages"] == []
    assert deployment.call("GET", "/api/v2/messages", token=second, id=his)["messages"] == []
    assert deployment.call("GET", "/api/v2/me", token=second)["used_hour"] == 0
    assert deployment.call("POST", "/api/v2/resend", {"token": second, "id": his})["reason"] == "not_found"
    hers = [
        deployment.client.post("/api/v2/messages", json={"token": second, **mail}, headers=key).json()["id"]
        for _ in range(2)
    ]
    assert hers[0] == hers[1] != his
    wait(
        lambda: len(deployment.call("GET", "/api/v2/messages", token=second)["messages"]) == 1, 60, every_s=0.2, why=str
    )
    seen = deployment.call("GET", "/api/v2/messages", token=deployment.token(), username=name)["messages"]
    assert {m["id"] for m in seen} == {f"{his}-0", f"{hers[0]}-0"}
