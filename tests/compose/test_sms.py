"""SMS with containers: the document's examples, one and many, through the edge, with receipts."""

from typing import Any

import pytest

from imsg_testing.compose import Containers

pytestmark = pytest.mark.timeout(1_200)


@pytest.mark.parametrize("to", ["13800138000", ["13800138001", "13800138002", "13800138003"]], ids=["one", "many"])
def test_a_documented_sms_arrives_and_its_receipt_settles_it(containers: Containers, to: str | list[str]) -> None:
    body = {"token": containers.token, "to": to, "method": "sms", "content": "明天下雨"}
    sent = containers.call("POST", "/api/send", body)
    numbers = [to] if isinstance(to, str) else to

    assert (sent["errorCode"], sent["count"]) == (0, len(numbers)), sent

    def query() -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = containers.call("GET", "/api/query", id=sent["id"], token=containers.token)[
            "messages"
        ]
        return messages

    containers.wait(lambda: [message["status"] for message in query()] == ["delivered"] * len(numbers))
    for number in numbers:
        inbox = containers.client.get(
            "/sandbox/inbox", params={"method": "sms", "to": number, "token": containers.token}
        ).json()
        assert any("明天下雨" in message["text"] for message in inbox["messages"])


def test_the_hook_of_receipts_is_guarded_by_its_secret(containers: Containers) -> None:
    assert containers.client.post("/hooks/sms/aliyun/guessed", json=[]).status_code == 404
