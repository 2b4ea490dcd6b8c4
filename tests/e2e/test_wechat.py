"""WeChat through the public API: a person follows, gets a tag and messages, and unfollows."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")

TAG = re.compile(r"[0-9A-Z]{3}-[0-9A-Z]{3}-[0-9A-Z]{3}")


def follow(deployment: Deployment, **asked: object) -> tuple[str, str]:
    """Add a follower; return (openid, tag)."""
    openid = deployment.call("POST", "/sandbox/wechat/followers", asked)["openid"]
    reply = deployment.press(openid)
    assert TAG.fullmatch(reply), reply
    return openid, reply


def send(deployment: Deployment, to: Any, content: Any = "明天下雨", **more: object) -> dict[str, Any]:  # noqa: ANN401
    """Send as the administrator; return the answer."""
    return deployment.call(
        "POST", "/api/send", {"token": deployment.token(), "to": to, "method": "wechat", "content": content, **more}
    )


def wait_delivered(deployment: Deployment, request: str, count: int = 1, within_s: float = 60) -> list[dict[str, Any]]:
    """Wait until every message is known to have arrived; return them."""
    wait(
        lambda: [message["status"] for message in deployment.messages(request)] == ["delivered"] * count,
        within_s,
        every_s=0.1,
        why=lambda: f"{deployment.messages(request)[:3]}\n{deployment.logs}",
    )
    return deployment.messages(request)


def test_a_follower_is_sent_to_by_the_tag_and_the_receipt_settles_it(deployment: Deployment) -> None:
    openid, tag = follow(deployment)

    answer = send(deployment, tag.lower().replace("-", ""))

    assert (answer["errorCode"], answer["count"]) == (0, 1), answer
    (message,) = wait_delivered(deployment, answer["id"])
    assert (message["provider"], message["attempts"], message["error"]) == ("wechat", 1, None)
    assert message["provider_id"].isdigit()
    (arrived,) = deployment.inbox(method="wechat", to=openid)
    assert arrived["text"] == "明天下雨"
    assert "明天下雨" in arrived["raw"], "unescaped"


def test_the_tag_stays_the_same_however_it_is_asked_for(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    told = {
        deployment.call("POST", f"/sandbox/wechat/followers/{openid}/say", {"text": text})["reply"]
        for text in ("openID", "OPENid", "我的openID")
    }
    told.add(deployment.press(openid))
    assert told == {tag}
    assert deployment.call("POST", f"/sandbox/wechat/followers/{openid}/say", {"text": "你好"})["reply"] is None


def test_a_list_of_followers_each_has_its_own_message(deployment: Deployment) -> None:
    people = [follow(deployment) for _ in range(12)]

    answer = send(deployment, [tag for _, tag in people])

    assert answer["count"] == 12
    wait_delivered(deployment, answer["id"], 12)
    openids = sorted(openid for openid, _ in people)
    assert sorted(message["to"] for message in deployment.inbox(method="wechat") if message["to"] in openids) == openids


def is_following(deployment: Deployment, tag: str) -> bool:
    """Return whether the follower of a tag is one now."""
    admin = {"token": deployment.token()}
    return any(found["following"] for found in deployment.call("GET", "/api/v2/followers", admin, tag=tag)["followers"])


def test_who_has_left_is_10014_and_is_welcome_again(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    assert deployment.call("DELETE", f"/sandbox/wechat/followers/{openid}")["errorCode"] == 0
    wait(lambda: not is_following(deployment, tag), 60)

    refused = send(deployment, tag)
    assert (refused["errorCode"], refused["errorMessage"]) == (10014, "用户未关注微信公众号")
    assert deployment.inbox(method="wechat", to=openid) == []

    deployment.call("POST", f"/sandbox/wechat/followers/{openid}/follow")
    wait(lambda: is_following(deployment, tag), 60)
    assert send(deployment, tag)["errorCode"] == 0


@pytest.mark.parametrize(
    ("to", "more", "code"),
    [
        ("000-000-000", {}, 10011),
        ("000-000-001", {}, 10011),
        ("zhang@163.com", {}, 10011),
        ([], {}, 10011),
        (None, {"account": "nobody"}, 10015),
        (None, {"account": 5}, 10017),
        (None, {"content": ""}, 10009),
        (None, {"content": {"subject": "x", "text": "y"}}, 10009),
        (None, {"content": {"template": "none", "params": {}}}, 10009),
        (None, {"attachment": {"filename": "a.txt", "file": "YQ=="}}, 10010),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(
    deployment: Deployment,
    to: Any,  # noqa: ANN401  any JSON
    more: dict[str, Any],
    code: int,
) -> None:
    _, tag = follow(deployment)
    refused = send(deployment, tag if to is None else to, **{"content": "明天下雨", **more})
    assert refused["errorCode"] == code, refused


def test_the_account_may_be_named(deployment: Deployment) -> None:
    _, tag = follow(deployment)
    assert send(deployment, tag, account="sandbox")["errorCode"] == 0


def test_a_template_is_filled_by_name(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    (account,) = deployment.call("GET", "/sandbox/wechat")["accounts"]
    template = "imsg-sandbox-template"
    assert template in account["templates"]
    answer = send(deployment, tag, {"template": template, "params": {"content": "下午两点半"}})
    wait_delivered(deployment, answer["id"])
    assert deployment.inbox(method="wechat", to=openid)[0]["text"] == "下午两点半"


def test_a_template_goes_by_the_first_of_its_ways_that_is_open(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    order = {"template": "order", "params": {"goods": "茶叶", "number": "A-100"}}
    granted = deployment.call("POST", f"/sandbox/wechat/followers/{openid}/grant")
    assert granted["grants"] == {"imsg-sandbox-notice": 1}

    for way, status, shown in (
        ("notice", "delivered", "thing1：茶叶"),
        ("a minute after the button", "sent", "您的订单 A-100（茶叶）已发货。"),
    ):
        deployment.call("DELETE", "/sandbox/inbox")
        deployment.press(openid)
        request = send(deployment, tag, order)["id"]
        wait(lambda r=request, s=status: [message["status"] for message in deployment.messages(r)] == [s], 60)  # type: ignore[misc]
        (arrived,) = deployment.inbox(method="wechat", to=openid)
        assert shown in arrived["text"], way
    assert send(deployment, tag, {"template": "order", "params": {"goods": "茶叶"}})["errorCode"] == 10009
    wrong = send(deployment, tag, {"template": "order", "params": {"goods": "茶叶", "number": "甲"}})
    assert wrong["errorCode"] == 10009, "a character_string takes ASCII alone, and the gateway knows"


def test_a_user_is_reached_by_name_through_their_tag(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    name = deployment.new_user(wechat=tag)
    answer = send(deployment, [name, tag])
    assert answer["count"] == 1
    wait_delivered(deployment, answer["id"])
    assert len(deployment.inbox(method="wechat", to=openid)) == 1


def test_who_blocks_the_account_fails_by_the_receipt(deployment: Deployment) -> None:
    _, tag = follow(deployment, blocks=True)
    answer = send(deployment, tag)
    wait(lambda: [message["status"] for message in deployment.messages(answer["id"])] == ["failed"])
    (message,) = deployment.messages(answer["id"])
    assert message["error"]["code"] == "user_block"


def test_a_text_longer_than_the_broker_takes_is_cut(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    answer = send(deployment, tag, "长" * 100_000)
    wait_delivered(deployment, answer["id"])
    text = deployment.inbox(method="wechat", to=openid)[0]["text"]
    assert text.endswith("…")
    assert set(text[:-1]) == {"长"}


def test_an_expired_token_and_a_lost_receipt_harm_nothing(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    deployment.order("expired_token", method="wechat")
    deployment.order("lost_receipt", method="wechat")
    answer = send(deployment, tag)
    (message,) = deployment.wait_settled(answer["id"])
    assert (message["status"], message["attempts"]) == ("sent", 1)
    assert len(deployment.inbox(method="wechat", to=openid)) == 1


@pytest.mark.long
@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "5xx"])
def test_a_message_in_doubt_is_repeated_and_arrives_once(deployment: Deployment, fault: str) -> None:
    openid, tag = follow(deployment)
    deployment.order(fault, method="wechat")
    answer = send(deployment, tag)
    (message,) = wait_delivered(deployment, answer["id"], within_s=90)
    assert message["attempts"] == 2
    assert len(deployment.inbox(method="wechat", to=openid)) == 1, "the client_msg_id makes the repeat harmless"


def _run_menu(deployment: Deployment, *words: str) -> str:
    done = deployment.run("wechat", "menu", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_button_joins_an_accounts_menu_from_the_command_line(deployment: Deployment) -> None:
    (account,) = deployment.call("GET", "/sandbox/wechat")["accounts"]
    url = "/sandbox/wechat/api/cgi-bin"
    credentials = {"grant_type": "client_credential", "appid": account["appid"], "secret": account["secret"]}
    token = deployment.client.post(f"{url}/stable_token", json=credentials).json()["access_token"]
    news = {"type": "view", "name": "新闻", "url": "https://example.com/"}
    made = deployment.client.post(f"{url}/menu/create", params={"access_token": token}, json={"button": [news]})
    assert made.json()["errcode"] == 0

    said = _run_menu(deployment)

    assert "新闻 | 我的 › 获取我的openID" in said
    (account,) = deployment.call("GET", "/sandbox/wechat")["accounts"]
    kept, ours = account["menu"]["button"]
    assert kept == news
    assert (ours["name"], ours["sub_button"][0]["key"]) == ("我的", "获取我的openID")
    assert "already" in _run_menu(deployment)
    assert "新闻" not in _run_menu(deployment, "--replace")


def _bind(deployment: Deployment, username: str) -> dict[str, Any]:
    body = {"token": deployment.token(), "account": "sandbox", "username": username}
    made = deployment.call("POST", "/api/v2/followers/bind", body)
    assert made["errorCode"] == 0, made
    return made


def test_a_follower_becomes_a_users_contact_by_a_code_that_is_confirmed(deployment: Deployment) -> None:
    name, admin = deployment.new_user(), {"token": deployment.token()}
    openid, tag = follow(deployment)
    made = _bind(deployment, name)
    path = f"/api/v2/followers/bind/{made['id']}"
    assert (made["state"], made["tag"], made["username"]) == ("waiting", None, name)
    assert deployment.call("POST", f"{path}/confirm", admin)["reason"] == "not_scanned"

    reply = deployment.call("POST", f"/sandbox/wechat/followers/{openid}/scan", {"url": made["url"]})["reply"]

    assert name in reply
    assert tag in reply
    scanned = deployment.call("GET", path, admin)
    assert (scanned["state"], scanned["tag"]) == ("scanned", tag)
    assert send(deployment, name)["errorCode"] == 10011, "nothing is bound before it is confirmed"
    stranger, _ = follow(deployment)
    reply = deployment.call("POST", f"/sandbox/wechat/followers/{stranger}/scan", {"url": made["url"]})["reply"]
    assert "失效" in reply
    for _ in range(2):
        assert deployment.call("POST", f"{path}/confirm", admin)["state"] == "confirmed"
    for action in ("binding_begun", "update"):
        assert deployment.wait_audited(action=action, target=name)["actor"] == "admin"
    wait_delivered(deployment, send(deployment, name)["id"])
    assert len(deployment.inbox(method="wechat", to=openid)) == 1
    (listed,) = deployment.call("GET", "/api/v2/followers", admin, user=name)["followers"]
    assert (listed["tag"], listed["username"], listed["following"]) == (tag, name, True)


def test_a_follow_by_a_code_binds_the_follower_too(deployment: Deployment) -> None:
    name = deployment.new_user()
    made = _bind(deployment, name)
    came = deployment.call("POST", "/sandbox/wechat/followers", {"scan": made["url"]})
    assert name in came["reply"]
    shown = deployment.call("GET", f"/api/v2/followers/bind/{made['id']}", {"token": deployment.token()})
    assert shown["state"] == "scanned"
    assert shown["tag"] in came["reply"]


def test_a_renewed_tag_moves_its_user_and_a_revoked_one_ends(deployment: Deployment) -> None:
    admin = {"token": deployment.token()}
    openid, old = follow(deployment)
    name = deployment.new_user(wechat=old)

    renewed = deployment.call("POST", f"/api/v2/followers/{old.lower()}/renew", admin)

    assert (renewed["errorCode"], renewed["username"]) == (0, name), renewed
    new = renewed["tag"]
    assert deployment.call("POST", f"/api/v2/followers/{old}/renew", admin)["tag"] == new, "asked again"
    assert send(deployment, old)["errorCode"] == 10014
    wait_delivered(deployment, send(deployment, name)["id"])
    assert deployment.press(openid) == new

    assert deployment.call("DELETE", f"/api/v2/followers/{new}", admin)["errorCode"] == 0
    for action in ("tag_renewed", "tag_revoked"):
        assert deployment.wait_audited(action=action, target=new)["actor"] == "admin"
    assert send(deployment, new)["errorCode"] == 10014
    assert send(deployment, name)["errorCode"] == 10014
    another = deployment.press(openid)
    assert another not in {old, new}
    assert send(deployment, another)["errorCode"] == 0


def test_followers_are_listed_by_page_account_and_tag_to_administrators(deployment: Deployment) -> None:
    admin = {"token": deployment.token()}
    tags = {follow(deployment)[1] for _ in range(3)}
    results: list[str] = []
    body = {"account": "sandbox", "limit": "2"}
    while True:
        page = deployment.call("GET", "/api/v2/followers", admin, **body)
        results += [follower["tag"] for follower in page["followers"]]
        if page["next"] is None:
            break
        body["cursor"] = page["next"]
    assert tags <= set(results)
    assert results == sorted(set(results))
    tag = next(iter(tags))
    (follower,) = deployment.call("GET", "/api/v2/followers", admin, tag=tag)["followers"]
    assert follower["tag"] == tag
    for wrong, code in (({"account": "none"}, 10015), ({"user": "nobody"}, 10006), ({"limit": "0"}, 10017)):
        assert deployment.call("GET", "/api/v2/followers", admin, **wrong)["errorCode"] == code, wrong
    for path, verb, code in (
        ("bind/0", "GET", 10016),
        ("000-000-000/renew", "POST", 10016),
        ("x/renew", "POST", 10016),
        ("bind", "POST", 10002),
    ):
        assert deployment.call(verb, f"/api/v2/followers/{path}", admin)["errorCode"] == code, path


def test_a_forged_event_makes_no_follower(deployment: Deployment) -> None:
    answer = deployment.client.post("/hooks/wechat/sandbox", params={"signature": "0", "timestamp": "1", "nonce": "1"})
    assert answer.status_code == 403
    assert deployment.client.get("/hooks/wechat/nobody").status_code == 404


@pytest.mark.long
def test_wechatpy_is_answered_as_by_wechat(deployment: Deployment) -> None:
    openid, _ = follow(deployment)
    (account,) = deployment.call("GET", "/sandbox/wechat")["accounts"]
    api = f"{deployment.url}/sandbox/wechat/api/cgi-bin/"
    program = str(Path(__file__).parents[1] / "sdks" / "wechatpy_account.py")
    done = subprocess.run(
        [sys.executable, program, api, account["appid"], account["secret"], openid],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert body["codes"] == {
        "too long": 47003,
        "wrong kind": 47003,
        "unregistered": 47003,
        "two lines": 47003,
        "unknown template": 40037,
        "stranger": 40003,
        "text": 0,
        "long text": 45002,
    }
    assert body["msgid"].isdigit()
    assert body["subscribe"] == 1
    assert body["url"].startswith("http://weixin.qq.com/q/")
    assert set(body["templates"]) == {"imsg-sandbox-template", "imsg-sandbox-order"}
    (first, *_) = deployment.inbox(method="wechat", to=openid)
    assert "茶叶" in first["text"] or first["text"] == "您好"


def test_who_leaves_stands_on_the_list_until_they_follow_again(deployment: Deployment) -> None:
    openid, tag = follow(deployment)

    def list_entries() -> list[tuple[str, str]]:
        found = deployment.call("GET", "/api/v2/suppressions", token=deployment.token(), method="wechat", to=tag)
        return [(suppression["reason"], suppression["scope"]["sender"]) for suppression in found["suppressions"]]

    deployment.call("DELETE", f"/sandbox/wechat/followers/{openid}")
    wait(lambda: list_entries() == [("unsubscribe", "sandbox")], 60, every_s=0.1, why=lambda: str(list_entries()))

    deployment.call("POST", f"/sandbox/wechat/followers/{openid}/follow")
    answer = send(deployment, tag)
    assert answer["errorCode"] == 0, "at once"
    wait_delivered(deployment, answer["id"])
    wait(lambda: list_entries() == [], 60, why=lambda: str(list_entries()))
