"""WeChat as containers: a follower of the sandbox's account, through the edge, the database and the webhook."""

from typing import Any

import pytest

from imsg_testing.compose import Containers

pytestmark = pytest.mark.timeout(1_200)


def test_a_follower_is_sent_to_by_the_tag_and_the_receipt_settles_it(stack: Containers) -> None:
    people = "/sandbox/wechat/followers"
    openid = stack.call("POST", people, {}, token=stack.token)["openid"]
    told = stack.call("POST", f"{people}/{openid}/press", {"key": "获取我的openID"}, token=stack.token)["reply"]

    sent = stack.call(
        "POST", "/api/send", {"token": stack.token, "to": told, "method": "wechat", "content": "明天下雨"}
    )

    assert (sent["errorCode"], sent["count"]) == (0, 1), sent

    def found() -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = stack.call("GET", "/api/query", id=sent["id"], token=stack.token)["messages"]
        return messages

    stack.wait(lambda: [message["status"] for message in found()] == ["delivered"])
    inbox = stack.client.get("/sandbox/inbox", params={"method": "wechat", "to": openid, "token": stack.token}).json()
    assert [message["text"] for message in inbox["messages"]] == ["明天下雨"]

    stack.call("DELETE", f"{people}/{openid}", token=stack.token)
    again = stack.call("POST", "/api/send", {"token": stack.token, "to": told, "method": "wechat", "content": "x"})
    assert again["errorCode"] == 10014


def test_a_list_of_followers_each_has_its_own_message(stack: Containers) -> None:
    people = "/sandbox/wechat/followers"
    openids = [stack.call("POST", people, {}, token=stack.token)["openid"] for _ in range(3)]
    press = {"key": "获取我的openID"}
    tags = [stack.call("POST", f"{people}/{one}/press", press, token=stack.token)["reply"] for one in openids]

    body = {"token": stack.token, "to": tags, "method": "wechat", "content": "明天下雨"}
    sent = stack.call("POST", "/api/send", body)

    assert (sent["errorCode"], sent["count"]) == (0, 3), sent

    def statuses() -> list[str]:
        messages = stack.call("GET", "/api/query", id=sent["id"], token=stack.token)["messages"]
        return [message["status"] for message in messages]

    stack.wait(lambda: statuses() == ["delivered"] * 3)


def test_the_sandboxs_people_and_the_webhook_are_guarded(stack: Containers) -> None:
    assert stack.call("POST", "/sandbox/wechat/followers", {})["errorCode"] == 10002
    assert stack.client.post("/hooks/wechat/sandbox", params={"signature": "0"}).status_code == 403
    for door in ("/sandbox/wechat/api/cgi-bin/stable_token", "/sandbox/aliyun/"):
        assert stack.client.post(door, json={}, params={"token": stack.token}).status_code == 404
