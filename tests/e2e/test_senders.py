"""Senders that an administrator sets up while iMSG runs: sends name them at once, and who may not is refused."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

NEWS = {"name": "news", "method": "smtp", "address": "天存资讯 <news@example.com>", "reply_to": "office@example.com"}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run iMSG as a newcomer does, with one sender in its settings."""
    settings = {"IMSG_SMTP__SENDERS__ALERTS__ADDRESS": "alerts@example.com"}
    with running(tmp_path_factory.mktemp("senders"), settings) as started:
        started.open_wide()
        yield started


def call(deployment: Deployment, verb: str, path: str = "", body: Any = None) -> dict[str, Any]:  # noqa: ANN401
    """Call below /senders as the administrator."""
    return deployment.call(verb, f"/api/v2/senders{path}", body, token=deployment.token())


def send_by(deployment: Deployment, sender: str) -> dict[str, Any]:
    """Send a mail by a sender."""
    body = {
        "to": "li@example.com",
        "method": "smtp",
        "content": {"subject": "hello", "text": "hello"},
        "sender": sender,
    }
    return deployment.call("POST", "/api/v2/messages", body, token=deployment.token())


def list_allowed(deployment: Deployment) -> list[str]:
    """List the senders that one may name."""
    channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
    return next(channel["senders"] for channel in channels if channel["method"] == "smtp")


def test_a_sender_is_set_up_changed_and_removed_while_imsg_runs(fresh: Deployment) -> None:
    made = call(fresh, "POST", "", NEWS)
    assert (made["errorCode"], made["from"], made["changed_by"]) == (0, "page", "admin"), made
    assert call(fresh, "POST", "", NEWS)["reason"] == "sender_exists"
    wait(lambda: "news" in list_allowed(fresh), 60)

    sent = send_by(fresh, "news")
    assert sent["errorCode"] == 0, sent
    (message,) = fresh.wait_settled(sent["id"])
    assert message["status"] == "sent", message
    mail = str(fresh.inbox(method="smtp")[-1])
    assert ("news@example.com" in mail, "office@example.com" in mail) == (True, True), mail

    assert call(fresh, "PATCH", "/news", {"address": "weekly@example.com", "reply_to": None})["reply_to"] is None
    for action in ("sender_added", "sender_changed"):
        assert fresh.wait_audited(action=action, target="smtp/news")["actor"] == "admin"
    kept = fresh.call("GET", "/api/v2/audit", target="smtp/news", token=fresh.token())["audit"]
    assert "news@example.com" not in str(kept), "the audit masks addresses"

    assert call(fresh, "DELETE", "/news")["errorCode"] == 0
    assert fresh.wait_audited(action="sender_removed", target="smtp/news")["actor"] == "admin"
    wait(lambda: list_allowed(fresh) == ["alerts"], 60)
    assert send_by(fresh, "news")["errorCode"] == 10017
    assert call(fresh, "DELETE", "/news")["reason"] == "not_found"


def test_a_sender_of_the_settings_is_listed_and_stays(fresh: Deployment) -> None:
    wait(lambda: [sender["from"] for sender in call(fresh, "GET")["senders"]] == ["settings"], 60)
    assert call(fresh, "PATCH", "/alerts", {"address": "a@example.com"})["reason"] == "name_in_settings"
    assert call(fresh, "POST", "", {**NEWS, "name": "alerts"})["reason"] == "name_in_settings"
    for wrong in ({"address": "nobody"}, {"address": "天存@例子.中国"}, {"method": "wechat"}, {"name": "Not a name"}):
        refused = call(fresh, "POST", "", {**NEWS, **wrong})
        assert (refused["errorCode"], next(iter(wrong)) in refused["detail"]) == (10017, True), refused
    assert "noreply@example.com，或" in call(fresh, "POST", "", {**NEWS, "reply_to": "nobody"})["detail"]


def test_the_dns_records_of_a_sender_are_looked_up_by_its_channel(fresh: Deployment) -> None:
    """What DNS says is a matter of the network; the judgement is tested beside sender-smtp."""
    looked = call(fresh, "GET", "/alerts/dns")
    assert (looked["errorCode"], looked["domain"]) == (0, "example.com"), looked
    records = {record["record"]: record for record in looked["records"]}
    assert {"MX", "SPF", "DKIM", "DMARC"} <= set(records)
    assert {record["verdict"] for record in looked["records"]} <= {"good", "missing", "wrong", "unknown"}
    assert (records["SPF"]["type"], records["SPF"]["name"]) == ("TXT", "example.com")
    assert [receiver["receiver"] for receiver in looked["receivers"]] == ["QQ", "163", "Gmail"]
    assert call(fresh, "GET", "/default/dns")["domain"], "the default sender has no row"
    assert call(fresh, "GET", "/nobody/dns")["reason"] == "not_found"


def test_the_command_line_keeps_senders(fresh: Deployment) -> None:
    def run(*words: str) -> str:
        done = fresh.run(*words, COLUMNS="200")
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


def test_a_signature_is_a_sender_of_sms(fresh: Deployment) -> None:
    school = {"name": "school", "method": "sms", "signature": "【天存教育】"}
    made = call(fresh, "POST", "", school)
    assert (made["errorCode"], made["signature"], made["address"], made["remarks"]) == (0, "天存教育", None, []), made
    unfiled = call(fresh, "POST", "", {**school, "name": "unfiled", "signature": "天存未报备"})
    (remark,) = unfiled["remarks"]
    assert (unfiled["errorCode"], remark["provider"]) == (0, "aliyun")
    assert ("天存未报备" in remark["what"], "报备" in remark["what"], "工作日" in remark["remedy"]) == (
        True,
        True,
        True,
    )
    unknown = call(fresh, "PATCH", "/unfiled", {"signature": "没有这个签名"})
    assert "没有签名" in unknown["remarks"][0]["what"], unknown
    for wrong, field in (
        ({"signature": None}, "signature"), ({"signature": "天 存"}, "signature"),
        ({"signature": "天【存"}, "signature"),
        ({"reply_to": "office@example.com"}, "reply_to"), ({"address": "a@example.com"}, "address"),
    ):  # fmt: skip
        refused = call(fresh, "POST", "", {**school, "name": "wrong", **wrong})
        assert (refused["errorCode"] in (10017, 10002), field in refused["detail"]) == (True, True), refused
    assert "signature" in call(fresh, "POST", "", {**NEWS, "name": "wrong", "signature": "天存"})["detail"]
    assert call(fresh, "GET", "/school/dns")["reason"] == "not_found"

    def list_signatures() -> dict[str, str]:
        channels = fresh.call("GET", "/api/v2/channels", token=fresh.token())["channels"]
        found: dict[str, str] = next(channel["signatures"] for channel in channels if channel["method"] == "sms")
        return found

    wait(lambda: list_signatures() == {"school": "天存教育", "unfiled": "没有这个签名"}, 60)
    plain, named = send_sms(fresh), send_sms(fresh, sender="school")
    by_template = send_sms(fresh, sender="school", content={"template": "SMS_100000002", "params": {"code": "4370"}})
    assert [answer["errorCode"] for answer in (plain, named, by_template)] == [0, 0, 0]
    assert [read_signature(fresh, answer["id"]) for answer in (plain, named, by_template)] == [
        "天存",
        "天存教育",
        "天存教育",
    ]
    assert send_sms(fresh, reply_to="office")["errorCode"] == 10017
    nobody = send_sms(fresh, sender="nobody")
    assert (nobody["errorCode"], "school" in nobody["detail"]) == (10017, True), nobody
    for name in ("school", "unfiled"):
        assert call(fresh, "DELETE", f"/{name}")["errorCode"] == 0
    wait(lambda: list_signatures() == {}, 60)
