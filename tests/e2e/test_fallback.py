"""A fallback through all of iMSG: another channel for people not reached by the first, and refunds of unused legs."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_contract.magic_recipients import DOMAIN
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

NO_PHONE, UNREPORTED = "19900000002", "19900000006"
"""Numbers of the sandbox: one is refused, the other gets no receipt."""

PASSWORD = "correct horse"

pytestmark = pytest.mark.xdist_group("stories of sending")
"""Charges are counted by the day."""


def by_mail(after_s: int = 60) -> dict[str, Any]:
    """Describe a leg by mail."""
    return {"method": "smtp", "after_s": after_s, "content": {"subject": "another way", "text": "明天下雨"}}


def person(number: str, mail: str) -> dict[str, Any]:
    """Describe a recipient of an SMS who has a mailbox too."""
    return {"to": number, "contacts": {"smtp": mail}}


def send(deployment: Deployment, token: str, to: object, legs: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Send an SMS with a fallback; return the answer."""
    body = {"token": token, "method": "sms", "to": to, "content": "明天下雨", "fallback": list(legs), **more}
    return deployment.call("POST", "/api/v2/messages", body)


def show(deployment: Deployment, request: str) -> dict[str, Any]:
    """Show a request at a glance."""
    return deployment.call("GET", f"/api/v2/requests/{request}", token=deployment.token())


def wait_settled(deployment: Deployment, request: str, within_s: float = 60) -> dict[str, Any]:
    """Wait until all legs of a request are settled; return what is shown of it."""
    wait(
        lambda: show(deployment, request).get("state") == "settled",
        within_s,
        0.2,
        lambda: str(show(deployment, request)),
    )
    return show(deployment, request)


def read_used(deployment: Deployment, token: str) -> dict[str, int]:
    """Return what a user has used of each quota."""
    me = deployment.call("GET", "/api/v2/me", token=token)
    return {quota["id"]: quota["used"] for quota in me["quotas"]}


def test_what_the_first_channel_refuses_goes_by_the_second_at_once(deployment: Deployment) -> None:
    to = person(NO_PHONE, "second@example.com")
    answer = send(deployment, deployment.token(), to, [by_mail()])
    assert [leg["method"] for leg in answer["legs"]] == ["sms", "smtp"]
    assert answer["legs"][0]["id"] == answer["id"]
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["not_reached"], shown["open"]) == (1, 0, 0)
    assert [(leg["id"], leg["state"]) for leg in shown["legs"]] == [(leg["id"], "settled") for leg in answer["legs"]]
    assert deployment.messages(answer["id"])[0]["status"] == "failed"
    (mail,) = deployment.messages(answer["legs"][1]["id"])
    assert (mail["status"], mail["to"], mail["id"]) == ("sent", NO_PHONE, f"{answer['legs'][1]['id']}-0")
    assert [message["to"] for message in deployment.inbox(to="second@example.com")] == ["second@example.com"]
    token = deployment.token()
    (listed,) = deployment.call("GET", "/api/v2/messages", id=mail["id"], token=token)["messages"]
    assert (listed["leg"], listed["leg_of"]) == (2, answer["id"])


def test_a_receipt_ends_it_and_the_leg_that_never_begins_is_given_back(deployment: Deployment) -> None:
    name = deployment.new_user()
    token = deployment.token(name, PASSWORD)
    rows = [{"id": "people", "counts": "recipients", "per": "day", "limit": 100}]
    path = f"/api/v2/users/{name}/quotas"
    headers = {"authorization": f"Bearer {deployment.token()}", "if-match": "*"}
    assert deployment.client.put(path, json={"quotas": rows}, headers=headers).json()["errorCode"] == 0
    people = [person(f"1380013811{n}", f"unused{n}@example.com") for n in range(3)]
    answer = send(deployment, token, people, [by_mail()])
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["legs"][1]["state"]) == (3, "unused")
    wait(lambda: read_used(deployment, token)["people"] == 3, 60)
    assert deployment.inbox(to="unused0@example.com") == []


def test_a_send_whose_legs_do_not_fit_a_quota_is_refused_whole(deployment: Deployment) -> None:
    name = deployment.new_user(phone="13800138123")
    token = deployment.token(name, PASSWORD)
    rows = [{"id": "texts", "counts": "segments", "per": "day", "method": "sms", "limit": 3}]
    headers = {"authorization": f"Bearer {deployment.token()}", "if-match": "*"}
    path = f"/api/v2/users/{name}/quotas"
    assert deployment.client.put(path, json={"quotas": rows}, headers=headers).json()["errorCode"] == 0
    leg = {"method": "sms", "after_s": 60, "content": "明天下雨"}

    def send_mail(count: int) -> dict[str, Any]:
        to = [{"to": f"full{n}@example.com", "contacts": {"sms": f"1380013820{n}"}} for n in range(count)]
        content = {"subject": "first", "text": "明天下雨"}
        body = {"token": token, "method": "smtp", "to": to, "content": content, "fallback": [leg]}
        return deployment.call("POST", "/api/v2/messages", body)

    refused = send_mail(10)
    assert (refused["errorCode"], refused["quota"]) == (10013, "texts")
    assert read_used(deployment, token)["texts"] == 0
    assert deployment.inbox(to="full0@example.com") == []
    taken = send_mail(3)
    assert taken["errorCode"] == 0, taken
    wait_settled(deployment, taken["id"])
    wait(lambda: read_used(deployment, token)["texts"] == 0, 60)


@pytest.mark.long  # it waits for the minute
@pytest.mark.timeout(240)
def test_a_code_without_a_receipt_goes_by_mail_after_a_minute(deployment: Deployment) -> None:
    to = person(UNREPORTED, "code@example.com")
    name = deployment.new_user()
    allowed = {"token": deployment.token(), "may_send_codes": True}
    assert deployment.call("PATCH", f"/api/v2/users/{name}", allowed)["errorCode"] == 0
    token = deployment.token(name, PASSWORD)
    answer = send(deployment, token, to, [by_mail()], content="您的验证码是 123456", category="code")
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"], 180)
    assert (shown["reached"], shown["legs"][1]["state"]) == (1, "settled")
    assert len(deployment.inbox(to="code@example.com")) == 1


def test_a_person_without_an_address_of_the_leg_is_reported(deployment: Deployment) -> None:
    to = [person(NO_PHONE, "has@example.com"), "+8619900000007"]
    answer = send(deployment, deployment.token(), to, [by_mail()])
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["not_reached"]) == (1, 1)
    second = {message["id"]: message for message in deployment.messages(answer["legs"][1]["id"])}
    missed = second[f"{answer['legs'][1]['id']}-1"]
    assert (missed["status"], missed["error"]["code"]) == ("failed", "no_contact")


def test_a_leg_without_addresses_is_skipped(deployment: Deployment) -> None:
    answer = send(deployment, deployment.token(), "+8619900000002", [by_mail()])
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["not_reached"], shown["open"]) == (0, 1, 0)
    (missed,) = deployment.messages(answer["legs"][1]["id"])
    assert (missed["status"], missed["error"]["code"]) == ("failed", "no_contact")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"fallback": []}, "fallback"),
        ({"fallback": [by_mail()] * 4}, "fallback"),
        ({"fallback": [by_mail(59)]}, "fallback.0.after_s"),
        ({"fallback": [by_mail() | {"method": "fax"}]}, "fallback.0.method"),
        ({"fallback": [by_mail() | {"method": "wecom", "until": "delivered"}]}, "fallback.0.until"),
        ({"fallback": [by_mail() | {"afters": 1}]}, "fallback.0.afters"),
        ({"until": "sent"}, "until"),
    ],
)
def test_what_no_fallback_can_be_is_refused_and_named(
    deployment: Deployment, fields: dict[str, Any], named: str
) -> None:
    to = person("13800138000", "wrong@example.com")
    body = {"token": deployment.token(), "method": "sms", "to": to, "content": "明天下雨", **fields}
    refused = deployment.call("POST", "/api/v2/messages", body)
    assert refused["errorCode"] != 0
    assert named in refused["detail"], refused


def test_an_alarm_that_wechat_refuses_goes_by_sms_at_once_and_a_test_key_goes_the_whole_way(
    deployment: Deployment,
) -> None:
    scopes = ["query", "send:wechat", "send:sms"]
    body = {"token": deployment.token(), "name": "legs", "kind": "test", "scopes": scopes}
    key = deployment.call("POST", "/api/v2/keys", body)["key"]
    alarm = {
        "token": key, "method": "wechat", "content": "机房断电",
        "to": {"to": "TES-T00-02R", "contacts": {"sms": "13800138000"}},
        "fallback": [{"method": "sms", "after_s": 120, "content": "机房断电"}],
    }  # fmt: skip
    answer = deployment.call("POST", "/api/v2/messages", alarm)
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"])
    assert (shown["reached"], shown["test"]) == (1, True)
    assert deployment.messages(answer["id"])[0]["error"]["code"] == "43004"
    assert deployment.messages(answer["legs"][1]["id"])[0]["status"] == "delivered"


def publish_template(deployment: Deployment, token: str, languages: dict[str, Any], **fields: str) -> str:
    """Publish a template; return its name."""
    name = f"legs{secrets.token_hex(6)}"
    body = {"name": name, "category": "notice", "default_language": "zh", "languages": languages, "token": token}
    assert deployment.call("POST", "/api/v2/templates", {**body, **fields})["errorCode"] == 0
    assert deployment.call("POST", f"/api/v2/templates/{name}/publish", {"token": token})["errorCode"] == 0
    return name


BY_SMS = {"providers": {"aliyun": {"template": "SMS_100000003", "variables": {"name": "{{ name }}", "time": "九点"}}}}


def test_a_leg_by_a_template_has_each_persons_words_and_what_is_wrong_with_it_is_named(deployment: Deployment) -> None:
    token = deployment.new_user_token()
    words = {"subject": "{{ name }}，开会", "text": "{{ place }}见{% if note %}，{{ note }}{% endif %}"}
    english = {"subject": "{{ name }}: meeting", "text": "at {{ place }}"}
    name = publish_template(deployment, token, {"zh": {"smtp": words, "sms": BY_SMS}, "en": {"smtp": english}})
    other = publish_template(deployment, token, {"zh": {"smtp": words}}, category="marketing")
    to = [
        {**person(NO_PHONE, "zhang@legs.example.com"), "params": {"name": "张三"}},
        {**person("19900000001", "li@legs.example.com"), "params": {"name": "Li", "place": "三楼"}, "language": "en"},
    ]
    leg = {"method": "smtp", "after_s": 60, "template": name}
    body = {"token": token, "method": "sms", "to": to, "template": name, "params": {"place": "二楼"}}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"template": "nothing"}, "fallback.0.template"),
        ({"template": other}, "fallback.0.template"),
        ({"params": {"colour": "红"}}, "fallback.0.params.colour"),
        ({"params": {"note": "x" * 2_001}}, "fallback.0.params.note"),
        ({"params": ["name"]}, "fallback.0.params"),
        ({"content": {"subject": "a", "text": "b"}}, "fallback.0.content"),
        ({"template": None, "content": {"subject": "a", "text": "b"}, "params": {"name": "a"}}, "fallback.0.params"),
        ({"template": None, "content": {"subject": "a", "txt": "b"}}, "fallback.0.content"),
        ({"method": "wechat"}, "fallback.0.template"),
    ]
    for change, field in wrong:
        refused = deployment.call("POST", "/api/v2/messages", {**body, "fallback": [leg | change]})
        assert (refused["errorCode"], field in refused["detail"]) == (10017, True), (change, refused)
    unknown = {**body, "to": [to[0] | {"params": {"nmae": "张三"}}], "fallback": [leg]}
    assert "to.0.params.nmae" in deployment.call("POST", "/api/v2/messages", unknown)["detail"]
    assert deployment.call("GET", "/api/v2/requests", token=token)["requests"] == []

    answer = deployment.call("POST", "/api/v2/messages", {**body, "fallback": [leg | {"params": {"note": "请准时"}}]})
    assert answer["errorCode"] == 0, answer
    shown = wait_settled(deployment, answer["id"])
    assert shown["reached"] == 2, shown
    mails = {message["to"]: message for message in deployment.inbox() if message["to"].endswith("@legs.example.com")}
    assert {to: mail["subject"] for to, mail in mails.items()} == {
        "zhang@legs.example.com": "张三，开会",
        "li@legs.example.com": "Li: meeting",
    }
    second = {message["to"]: message["content"] for message in deployment.messages(answer["legs"][1]["id"])}
    assert second[NO_PHONE]["text"] == "二楼见，请准时"
    assert second["19900000001"]["text"] == "at 三楼"


def test_a_leg_may_have_a_template_where_the_first_has_words(deployment: Deployment) -> None:
    token = deployment.new_user_token()
    name = publish_template(deployment, token, {"zh": {"sms": BY_SMS}})
    content = {"subject": "开会", "text": "九点"}
    to = {"to": f"bounce@{DOMAIN}", "contacts": {"sms": "13800138101"}, "params": {"name": "王五"}}
    leg = {"method": "sms", "after_s": 60, "template": name, "until": "sent"}
    body = {"token": token, "method": "smtp", "to": to, "content": content, "fallback": [leg]}
    alone = {field: value for field, value in body.items() if field != "fallback"}
    assert "to.0" in deployment.call("POST", "/api/v2/messages", alone)["detail"]
    missing = body | {"to": to | {"params": None}}
    assert "fallback.0.params.name" in deployment.call("POST", "/api/v2/messages", missing)["detail"]
    nobody = deployment.call("POST", "/api/v2/messages", body | {"to": to | {"contacts": None}})
    assert nobody["errorCode"] == 0, nobody
    answer = deployment.call("POST", "/api/v2/messages", body)
    assert answer["errorCode"] == 0, answer
    assert wait_settled(deployment, answer["id"])["reached"] == 1
    (text,) = deployment.messages(answer["legs"][1]["id"])
    assert text["content"]["providers"]["aliyun"]["variables"] == {"name": "王五", "time": "九点"}
    assert wait_settled(deployment, nobody["id"])["not_reached"] == 1


def cancel(deployment: Deployment, token: str, path: str, **body: str) -> tuple[int, int, int]:
    """Cancel; return how many are cancelled, too late, and settled before."""
    answer = deployment.call("POST", f"/api/v2/{path}", {"token": token, **body})
    assert answer["errorCode"] == 0, answer
    return answer["cancelled"], answer["too_late"], answer["settled"]


def wait_used(deployment: Deployment, token: str, requests: int, recipients: int) -> None:
    """Wait until a user is charged for so much."""

    def read() -> tuple[int, int]:
        me = deployment.call("GET", "/api/v2/me", token=token)
        return me["used_day"], me["used_recipients"]

    wait(lambda: read() == (requests, recipients), 60, why=lambda: f"{read()}")


@pytest.mark.parametrize("chosen_by", ["id", "reference"])
def test_a_cancel_stops_the_further_legs_whatever_the_first_has_become(deployment: Deployment, chosen_by: str) -> None:
    """One awaits a receipt, one has failed and waits in the mail's queue, one was reached."""
    token, reference = deployment.new_user_token(), secrets.token_hex(8)
    names = [f"stopped-{n}-{reference}@example.com" for n in range(3)]
    numbers = (UNREPORTED, NO_PHONE, "13800138000")
    to = [person(number, mail) for number, mail in zip(numbers, names, strict=True)]
    pause = {"token": deployment.token(), "paused": True, "reason": "a test"}
    assert deployment.call("PATCH", "/api/v2/channels/smtp", pause)["errorCode"] == 0
    try:
        legs = [by_mail(3_600)] * 2  # so long those who await a receipt, or their turn, do not go on
        answer = send(deployment, token, to, legs, reference=reference)
        second = answer["legs"][1]["id"]
        wait(lambda: [message["status"] for message in deployment.messages(second)] == ["queued"], 60)
        wait(lambda: show(deployment, answer["id"])["reached"] == 1, 60)
        wait(lambda: show(deployment, answer["id"])["counts"]["sent"] == 1, 60)
        path = "requests/cancel" if chosen_by == "reference" else f"requests/{answer['id']}/cancel"
        body = {"reference": reference} if chosen_by == "reference" else {}
        for _ in range(2):
            assert cancel(deployment, token, path, **body) == (1, 0, 2)
        shown = wait_settled(deployment, answer["id"])
        assert (shown["reached"], shown["not_reached"], shown["legs"][2]["state"]) == (1, 2, "unused")
        assert [message["status"] for message in deployment.messages(second)] == ["expired"]  # v1's word of cancelled
        wait_used(deployment, token, 1, 3)
        assert cancel(deployment, token, f"messages/{answer['id']}-1/cancel") == (0, 0, 1)
    finally:
        deployment.call("PATCH", "/api/v2/channels/smtp", pause | {"paused": False})
    deployment.wait_settled(deployment.send(f"last-{reference}@example.com")["id"])
    assert [mail["to"] for mail in deployment.inbox() if mail["to"] in names] == []
    wait_used(deployment, token, 1, 3)


def test_a_further_leg_is_cancelled_by_its_own_id_for_who_has_begun_it_and_who_has_not(deployment: Deployment) -> None:
    """One awaits a receipt, one has failed and waits in the mail's queue, one was reached."""
    token, name = deployment.new_user_token(), secrets.token_hex(8)
    names = [f"leg-{n}-{name}@example.com" for n in range(3)]
    numbers = (UNREPORTED, NO_PHONE, "13800138000")
    to = [person(number, mail) for number, mail in zip(numbers, names, strict=True)]
    pause = {"token": deployment.token(), "paused": True, "reason": "a test"}
    assert deployment.call("PATCH", "/api/v2/channels/smtp", pause)["errorCode"] == 0
    try:
        answer = send(deployment, token, to, [by_mail(3_600)] * 2)
        second, third = (leg["id"] for leg in answer["legs"][1:])
        wait(lambda: [message["status"] for message in deployment.messages(second)] == ["queued"], 60)
        wait(lambda: show(deployment, answer["id"])["reached"] == 1, 60)
        other = {"token": deployment.new_user_token()}
        assert deployment.call("POST", f"/api/v2/requests/{third}/cancel", other)["reason"] == "not_found"
        for leg in (third, second):
            for _ in range(2):
                assert cancel(deployment, token, f"requests/{leg}/cancel") == (2, 0, 1)
        wait(lambda: [show(deployment, answer["id"])[of] for of in ("reached", "not_reached", "open")] == [1, 1, 1], 60)
        wait_used(deployment, token, 1, 5)  # the open one's legs are given back once it has ended
        cancel(deployment, token, f"requests/{answer['id']}/cancel")
        assert wait_settled(deployment, answer["id"])["not_reached"] == 2
        wait_used(deployment, token, 1, 3)
    finally:
        deployment.call("PATCH", "/api/v2/channels/smtp", pause | {"paused": False})
    deployment.wait_settled(deployment.send(f"last-{name}@example.com")["id"])
    assert [mail["to"] for mail in deployment.inbox() if mail["to"] in names] == []


def test_one_person_of_a_scheduled_request_with_a_fallback_is_cancelled_and_then_all(deployment: Deployment) -> None:
    token = deployment.new_user_token()
    due = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    to = [person(f"1380013840{n}", f"scheduled{n}@example.com") for n in range(2)]
    answer = send(deployment, token, to, [by_mail()], send_at=due)
    wait(lambda: show(deployment, answer["id"]).get("state") == "scheduled", 60)
    wait_used(deployment, token, 1, 4)
    for _ in range(2):
        assert cancel(deployment, token, f"messages/{answer['id']}-0/cancel") == (1, 0, 0)
    wait_used(deployment, token, 1, 2)
    for _ in range(2):
        assert cancel(deployment, token, f"requests/{answer['id']}/cancel") == (1, 0, 0)
    shown = wait_settled(deployment, answer["id"])
    assert (shown["not_reached"], shown["legs"][1]["state"]) == (2, "unused")
    wait_used(deployment, token, 0, 0)


def follow(deployment: Deployment, **asked: object) -> tuple[str, str]:
    """Add a follower of the official account; return (openid, tag)."""
    openid = deployment.call("POST", "/sandbox/wechat/followers", asked)["openid"]
    return openid, deployment.press(openid)


def send_wechat(deployment: Deployment, tag: str, number: str, content: object) -> dict[str, Any]:
    """Send by WeChat, and after two minutes by SMS; return what is shown once all of it has settled."""
    answer = deployment.call(
        "POST",
        "/api/v2/messages",
        {
            "token": deployment.token(), "method": "wechat", "content": content,
            "to": {"to": tag, "contacts": {"sms": number}},
            "fallback": [{"method": "sms", "after_s": 120, "content": "机房断电"}],
        },
    )  # fmt: skip
    assert answer["errorCode"] == 0, answer
    return wait_settled(deployment, answer["id"])


def list_texts(deployment: Deployment, beginning: str) -> list[str]:
    """Return the numbers with this beginning that an SMS has reached."""
    return [text["to"] for text in deployment.inbox(method="sms") if text["to"].startswith(beginning)]


def test_a_wechat_grant_that_is_used_up_goes_on_by_sms_at_once(deployment: Deployment) -> None:
    openid, tag = follow(deployment)
    assert deployment.call("POST", f"/sandbox/wechat/followers/{openid}/grant")["grants"] == {"imsg-sandbox-notice": 1}
    notice = {"template": "notice", "params": {"goods": "茶叶", "number": "A-100"}}
    granted, used_up = (send_wechat(deployment, tag, f"1380013850{n}", notice) for n in range(2))
    assert (granted["reached"], granted["legs"][1]["state"]) == (1, "unused")
    assert used_up["reached"] == 1
    (refused,) = deployment.messages(used_up["id"])
    assert (refused["status"], refused["error"]["code"]) == ("failed", "not_granted")
    assert list_texts(deployment, "1380013850") == ["13800138501"]


def test_an_alarm_by_wechat_goes_by_sms_where_the_receipt_reports_a_failure(deployment: Deployment) -> None:
    _, tag = follow(deployment)
    _, blocking = follow(deployment, blocks=True)
    reached, blocked = (
        send_wechat(deployment, to, f"1380013851{n}", "机房断电") for n, to in enumerate((tag, blocking))
    )
    assert (reached["reached"], reached["legs"][1]["state"]) == (1, "unused")
    assert (blocked["reached"], blocked["counts"]["failed"], blocked["legs"][1]["state"]) == (1, 1, "settled")
    assert list_texts(deployment, "1380013851") == ["13800138511"]
