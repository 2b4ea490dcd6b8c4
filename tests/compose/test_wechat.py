"""WeChat with containers: a follower of the sandbox's account, through the edge, the database and the webhook."""

from typing import Any

import pytest

from imsg_testing.compose import Containers

pytestmark = pytest.mark.timeout(1_200)


def test_a_follower_is_sent_to_by_the_tag_and_the_receipt_settles_it(containers: Containers) -> None:
    people = "/sandbox/wechat/followers"
    openid = containers.call("POST", people, {}, token=containers.token)["openid"]
    reply = containers.call("POST", f"{people}/{openid}/press", {"key": "获取我的openID"}, token=containers.token)[
        "reply"
    ]

    sent = containers.call(
        "POST", "/api/send", {"token": containers.token, "to": reply, "method": "wechat", "content": "明天下雨"}
    )

    assert (sent["errorCode"], sent.get("count")) == (0, 1), sent

    def query() -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = containers.call("GET", "/api/query", id=sent["id"], token=containers.token)[
            "messages"
        ]
        return messages

    containers.wait(lambda: [message["status"] for message in query()] == ["delivered"])
    inbox = containers.client.get(
        "/sandbox/inbox", params={"method": "wechat", "to": openid, "token": containers.token}
    ).json()
    assert [message["text"] for message in inbox["messages"]] == ["明天下雨"]

    containers.call("DELETE", f"{people}/{openid}", token=containers.token)
    again = containers.call(
        "POST", "/api/send", {"token": containers.token, "to": reply, "method": "wechat", "content": "x"}
    )
    assert again["errorCode"] == 10014


def test_a_list_of_followers_each_has_its_own_message(containers: Containers) -> None:
    people = "/sandbox/wechat/followers"
    openids = [containers.call("POST", people, {}, token=containers.token)["openid"] for _ in range(3)]
    press = {"key": "获取我的openID"}
    tags = [
        containers.call("POST", f"{people}/{openid}/press", press, token=containers.token)["reply"]
        for openid in openids
    ]

    body = {"token": containers.token, "to": tags, "method": "wechat", "content": "明天下雨"}
    sent = containers.call("POST", "/api/send", body)

    assert (sent["errorCode"], sent.get("count")) == (0, 3), sent

    def statuses() -> list[str]:
        messages = containers.call("GET", "/api/query", id=sent["id"], token=containers.token)["messages"]
        return [message["status"] for message in messages]

    containers.wait(lambda: statuses() == ["delivered"] * 3)


def test_the_sandboxs_people_and_the_webhook_are_guarded(containers: Containers) -> None:
    assert containers.call("POST", "/sandbox/wechat/followers", {})["errorCode"] == 10002
    assert containers.client.post("/hooks/wechat/sandbox", params={"signature": "0"}).status_code == 403
    for door in ("/sandbox/wechat/api/cgi-bin/stable_token", "/sandbox/aliyun/"):
        assert containers.client.post(door, json={}, params={"token": containers.token}).status_code == 404


def test_the_menus_button_is_made_inside_the_senders_container(containers: Containers) -> None:
    output = containers.compose("run", "--rm", "-T", "sender-wechat", "python", "-m", "imsg_wechat", "menu")

    assert "我的 › 获取我的openID" in output
