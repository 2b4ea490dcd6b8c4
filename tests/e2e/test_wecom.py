"""WeCom's group robots through the public API, in the sandbox of `imsg up`."""

from typing import Any

import pytest

from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of sending")

TEXT_BYTES, MARKDOWN_BYTES = 2_048, 4_096


def send(deployment: Deployment, content: Any = "磁盘已满", to: Any = "sandbox", **more: object) -> dict[str, Any]:  # noqa: ANN401
    """Send as the administrator; return the answer."""
    body = {"token": deployment.token(), "to": to, "method": "wecom", "content": content, **more}
    return deployment.call("POST", "/api/v2/messages", body)


def read_arrived(deployment: Deployment) -> list[str]:
    """Return what the group has seen."""
    return [message["text"] for message in deployment.inbox(method="wecom", to="sandbox")]


def test_a_robot_writes_text_and_markdown_into_its_group(deployment: Deployment) -> None:
    text, markdown = send(deployment, "磁盘已满", to="Sandbox"), send(deployment, {"markdown": "**磁盘**已满"})

    (message,) = deployment.wait_settled(text["id"])
    assert (message["to"], message["status"], message["provider"]) == ("Sandbox", "sent", "wecom")
    assert deployment.wait_settled(markdown["id"])[0]["status"] == "sent"
    assert {"磁盘已满", "**磁盘**已满"} <= set(read_arrived(deployment))


@pytest.mark.parametrize("to", ["nobody", ["sandbox", "nobody"]])
def test_a_robot_that_is_not_configured_is_refused(deployment: Deployment, to: object) -> None:
    answer = send(deployment, to=to)
    assert (answer["errorCode"], answer["reason"]) == (10011, "recipients_invalid")
    assert "“nobody”（没有这个群机器人名称）" in answer["detail"]


def test_a_username_is_no_robot_and_a_robot_s_name_is_a_username_elsewhere(deployment: Deployment) -> None:
    name = deployment.new_user()
    assert send(deployment, to=name)["errorCode"] == 10011
    elsewhere = {"token": deployment.token(), "to": "sandbox", "method": "sms", "content": "您好"}
    assert "没有这个用户" in deployment.call("POST", "/api/v2/messages", elsewhere)["detail"]


@pytest.mark.parametrize(
    ("content", "is_right"),
    [
        ("a" * TEXT_BYTES, True),
        ("汉" * (TEXT_BYTES // 3), True),
        ("a" * (TEXT_BYTES + 1), False),
        ("汉" * (TEXT_BYTES // 3 + 1), False),
        ({"markdown": "a" * MARKDOWN_BYTES}, True),
        ({"markdown": "a" * (MARKDOWN_BYTES + 1)}, False),
        ({"markdown": " "}, False),
        ({"markdown": 5}, False),
        ({"text": "x"}, False),
        (" ", False),
        (5, False),
    ],
)
def test_limits_are_in_bytes(deployment: Deployment, content: object, *, is_right: bool) -> None:
    body = {"token": deployment.token(), "to": "sandbox", "method": "wecom", "content": content}
    answer = deployment.call("POST", "/api/v2/messages/check", body)
    assert answer["errorCode"] == (0 if is_right else 10009), answer


def test_an_attachment_is_refused(deployment: Deployment) -> None:
    assert send(deployment, attachment={"filename": "a.txt", "file": "YQ=="})["errorCode"] == 10010


def test_the_key_stands_nowhere(deployment: Deployment) -> None:
    """Neither in logs, nor in answers, history or metrics, whatever goes wrong."""
    key = (deployment.data / "secrets" / "wecom_key").read_text()
    for fault in ("reset_before", "5xx", "reset_after"):
        deployment.order(fault, method="wecom")
        send(deployment, fault)
    request = send(deployment, "落定")["id"]
    deployment.wait_settled(request)

    shown = [
        deployment.logs,
        str(deployment.call("GET", "/api/v2/messages", {"token": deployment.token()})),
        str(deployment.inbox(method="wecom")),
        str(deployment.call("GET", "/api/v2/channels", {"token": deployment.token()})),
    ]
    assert [text for text in shown if key in text] == []
