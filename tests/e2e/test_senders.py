"""Senders that an administrator sets up while iMSG runs: sends name them at once, and who may not is refused."""

import secrets
from typing import Any

import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of users")

NEWS = {"name": "news", "method": "smtp", "address": "天存资讯 <news@example.com>", "reply_to": "office@example.com"}


def call(deployment: Deployment, verb: str, path: str = "", body: Any = None) -> dict[str, Any]:  # noqa: ANN401
    """Call below /senders as the administrator."""
    return deployment.call(verb, f"/api/v2/senders{path}", body, token=deployment.token())


def send_by(deployment: Deployment, sender: str) -> dict[str, Any]:
    """Send a mail by a sender."""
    body = {
        "to": f"{secrets.token_hex(4)}@example.com",
        "method": "smtp",
        "content": {"subject": "hello", "text": "hello"},
        "sender": sender,
    }
    return deployment.call("POST", "/api/v2/messages", body, token=deployment.token())


def list_allowed(deployment: Deployment) -> list[str]:
    """List the senders that one may name."""
    channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
    return next(channel["senders"] for channel in channels if channel["method"] == "smtp")


def test_a_sender_is_set_up_changed_and_removed_while_imsg_runs(deployment: Deployment) -> None:
    made = call(deployment, "POST", "", NEWS)
    assert (made["errorCode"], made["from"], made["changed_by"]) == (0, "page", "admin"), made
    assert call(deployment, "POST", "", NEWS)["reason"] == "sender_exists"
    wait(lambda: "news" in list_allowed(deployment), 60)

    sent = send_by(deployment, "news")
    assert sent["errorCode"] == 0, sent
    (message,) = deployment.wait_settled(sent["id"])
    assert message["status"] == "sent", message
    mail = str(deployment.inbox(method="smtp", to=message["to"]))
    assert ("news@example.com" in mail, "office@example.com" in mail) == (True, True), mail

    assert call(deployment, "PATCH", "/news", {"address": "weekly@example.com", "reply_to": None})["reply_to"] is None
    for action in ("sender_added", "sender_changed"):
        assert deployment.wait_audited(action=action, target="smtp/news")["actor"] == "admin"
    kept = deployment.call("GET", "/api/v2/audit", target="smtp/news", token=deployment.token())["audit"]
    assert "news@example.com" not in str(kept), "the audit masks addresses"

    assert call(deployment, "DELETE", "/news")["errorCode"] == 0
    assert deployment.wait_audited(action="sender_removed", target="smtp/news")["actor"] == "admin"
    wait(lambda: list_allowed(deployment) == ["alerts"], 60)
    assert send_by(deployment, "news")["errorCode"] == 10017
    assert call(deployment, "DELETE", "/news")["reason"] == "not_found"


def test_a_sender_of_the_settings_is_listed_and_stays(deployment: Deployment) -> None:
    wait(lambda: [sender["from"] for sender in call(deployment, "GET")["senders"]] == ["settings"], 60)
    assert call(deployment, "PATCH", "/alerts", {"address": "a@example.com"})["reason"] == "name_in_settings"
    assert call(deployment, "POST", "", {**NEWS, "name": "alerts"})["reason"] == "name_in_settings"
    for wrong in ({"address": "nobody"}, {"address": "天存@例子.中国"}, {"method": "wechat"}, {"name": "Not a name"}):
        refused = call(deployment, "POST", "", {**NEWS, **wrong})
        assert (refused["errorCode"], next(iter(wrong)) in refused["detail"]) == (10017, True), refused
    assert "noreply@example.com，或" in call(deployment, "POST", "", {**NEWS, "reply_to": "nobody"})["detail"]


def test_the_dns_records_of_a_sender_are_looked_up_by_its_channel(deployment: Deployment) -> None:
    """What DNS says is a matter of the network; the judgement is tested beside sender-smtp."""
    looked = call(deployment, "GET", "/alerts/dns")
    assert (looked["errorCode"], looked["domain"]) == (0, "example.com"), looked
    records = {record["record"]: record for record in looked["records"]}
    assert {"MX", "SPF", "DKIM", "DMARC"} <= set(records)
    assert {record["verdict"] for record in looked["records"]} <= {"good", "missing", "wrong", "unknown"}
    assert (records["SPF"]["type"], records["SPF"]["name"]) == ("TXT", "example.com")
    assert [receiver["receiver"] for receiver in looked["receivers"]] == ["QQ", "163", "Gmail"]
    assert call(deployment, "GET", "/default/dns")["domain"], "the default sender has no row"
    assert call(deployment, "GET", "/nobody/dns")["reason"] == "not_found"


def test_the_command_line_keeps_senders(deployment: Deployment) -> None:
    def run(*words: str) -> str:
        done = deployment.run(*words, COLUMNS="200")
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("login", "admin", "--password", "123")
    assert "within 2 s" in run("senders", "add", "desk", "desk@example.com", "--reply-to", "office@example.com")
    looked = run("senders", "dns", "desk")
    assert all(part in looked for part in ("SPF", "DKIM", "DMARC", "Gmail:")), looked
    run("senders", "set", "desk", "--reply-to", "none")
    assert "desk@example.com" in run("senders")
    run("senders", "remove", "desk")


def send_sms(deployment: Deployment, **fields: object) -> dict[str, Any]:
    """Send an SMS."""
    body = {"to": f"137{secrets.randbelow(10**8):08d}", "method": "sms", "content": "明天停电", **fields}
    return deployment.call("POST", "/api/v2/messages", body, token=deployment.token())


def read_signature(deployment: Deployment, request: str) -> str:
    """Return the signature that a message arrived with."""
    (message,) = deployment.wait_settled(request)
    assert message["status"] in ("sent", "delivered"), message
    arrived = [
        arrived for arrived in deployment.inbox(method="sms") if str(arrived["to"]).endswith(message["to"][-11:])
    ]
    return str(arrived[-1]).partition("【")[2].partition("】")[0]


def test_a_signature_is_a_sender_of_sms(deployment: Deployment) -> None:
    school = {"name": "school", "method": "sms", "signature": "【天存教育】"}
    made = call(deployment, "POST", "", school)
    assert (made["errorCode"], made["signature"], made["address"], made["remarks"]) == (0, "天存教育", None, []), made
    unfiled = call(deployment, "POST", "", {**school, "name": "unfiled", "signature": "天存未报备"})
    (remark,) = unfiled["remarks"]
    assert (unfiled["errorCode"], remark["provider"]) == (0, "aliyun")
    assert ("天存未报备" in remark["what"], "报备" in remark["what"], "工作日" in remark["remedy"]) == (
        True,
        True,
        True,
    )
    unknown = call(deployment, "PATCH", "/unfiled", {"signature": "没有这个签名"})
    assert "没有签名" in unknown["remarks"][0]["what"], unknown
    for wrong, field in (
        ({"signature": None}, "signature"), ({"signature": "天 存"}, "signature"),
        ({"signature": "天【存"}, "signature"),
        ({"reply_to": "office@example.com"}, "reply_to"), ({"address": "a@example.com"}, "address"),
    ):  # fmt: skip
        refused = call(deployment, "POST", "", {**school, "name": "wrong", **wrong})
        assert (refused["errorCode"] in (10017, 10002), field in refused["detail"]) == (True, True), refused
    assert "signature" in call(deployment, "POST", "", {**NEWS, "name": "wrong", "signature": "天存"})["detail"]
    assert call(deployment, "GET", "/school/dns")["reason"] == "not_found"

    def list_signatures() -> dict[str, str]:
        channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
        found: dict[str, str] = next(channel["signatures"] for channel in channels if channel["method"] == "sms")
        return found

    wait(lambda: list_signatures() == {"school": "天存教育", "unfiled": "没有这个签名"}, 60)
    plain, named = send_sms(deployment), send_sms(deployment, sender="school")
    by_template = send_sms(
        deployment, sender="school", content={"template": "SMS_100000002", "params": {"code": "4370"}}
    )
    assert [answer["errorCode"] for answer in (plain, named, by_template)] == [0, 0, 0]
    assert [read_signature(deployment, answer["id"]) for answer in (plain, named, by_template)] == [
        "天存",
        "天存教育",
        "天存教育",
    ]
    assert send_sms(deployment, reply_to="office")["errorCode"] == 10017
    nobody = send_sms(deployment, sender="nobody")
    assert (nobody["errorCode"], "school" in nobody["detail"]) == (10017, True), nobody
    for name in ("school", "unfiled"):
        assert call(deployment, "DELETE", f"/{name}")["errorCode"] == 0
    wait(lambda: list_signatures() == {}, 60)
