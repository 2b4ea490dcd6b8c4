"""A template from its first draft to what arrives: preview, check and send give the same bytes."""

import json
import random
import secrets
from pathlib import Path
from random import Random
from typing import Any

import pytest

from imsg_testing.api import PASSWORD
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("stories of sending")

SEED = random.SystemRandom().getrandbits(64)

MAIL = {
    "subject": "{{ name }}，您的成绩",
    "text": "{{ name }}：{{ grade }}分{% if note %}，{{ note }}{% endif %}。",
    "html": "<p>{{ name }}</p>",
}
ENGLISH = {"smtp": {"subject": "{{ name }}: grades", "text": "{{ name }} has {{ grade }}."}}
SMS = {
    "providers": {
        "aliyun": {"template": "SMS_100000003", "variables": {"name": "{{ name }}", "time": "{{ grade }}"}},
    }
}


def call(deployment: Deployment, token: str, verb: str, path: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401
    return dict(deployment.call(verb, f"/api/v2/{path}", {"token": token, **body}))


def publish(deployment: Deployment, token: str, languages: dict[str, Any], **fields: Any) -> str:  # noqa: ANN401
    name = f"t{secrets.token_hex(6)}"
    body = {"name": name, "category": "notice", "default_language": "zh", "languages": languages, **fields}
    added = call(deployment, token, "POST", "templates", **body)
    assert added["errorCode"] == 0, added
    assert call(deployment, token, "POST", f"templates/{name}/publish")["errorCode"] == 0
    return name


def read_messages(deployment: Deployment, token: str, request: str) -> list[dict[str, Any]]:
    return list(deployment.call("GET", "/api/v2/messages", id=request, token=token)["messages"])


def wait_until_sent(deployment: Deployment, token: str, request: str, count: int) -> list[dict[str, Any]]:
    def are_sent() -> bool:
        rows = read_messages(deployment, token, request)
        return len(rows) == count and all(row["status"] in ("sent", "delivered", "failed") for row in rows)

    wait(are_sent, 60)
    return sorted(read_messages(deployment, token, request), key=lambda row: str(row["id"]))


def make_user(deployment: Deployment) -> str:
    token: str = deployment.token(deployment.new_user(), PASSWORD)
    return token


def test_each_recipient_gets_words_of_their_own(deployment: Deployment) -> None:
    token = make_user(deployment)
    name = publish(deployment, token, {"zh": {"smtp": MAIL}, "en": ENGLISH})
    to = [
        {"to": "zhang@example.com", "params": {"name": "张<三>", "grade": "98"}},
        {"to": "Li <li@example.com>", "params": {"name": "Li", "grade": "77"}, "language": "en"},
        {"to": "wang@example.com", "params": {"name": "王", "note": "请补考"}},
    ]
    body = {"method": "smtp", "template": name, "params": {"grade": "59"}, "to": to}
    checked = call(deployment, token, "POST", "messages/check", **body)
    assert (checked["errorCode"], checked["count"]) == (0, 3), checked
    sent = call(deployment, token, "POST", "messages", **body)
    assert sent["errorCode"] == 0, sent

    zhang, li, wang = wait_until_sent(deployment, token, sent["id"], 3)
    assert (zhang["status"], zhang["subject"]) == ("sent", "张<三>，您的成绩")
    assert zhang["content"]["html"] == "<p>张&lt;三&gt;</p>"
    assert (li["content"]["language"], li["content"]["text"]) == ("en", "Li has 77.")
    assert wang["content"]["text"] == "王：59分，请补考。"
    assert (wang["content"]["template"], wang["content"]["version"]) == (name, 1)

    newer = {"zh": {"smtp": {**MAIL, "text": "另一句话"}}}
    call(deployment, token, "PATCH", f"templates/{name}", languages=newer)
    call(deployment, token, "POST", f"templates/{name}/publish")
    assert read_messages(deployment, token, f"{sent['id']}-2")[0]["content"]["text"] == "王：59分，请补考。"
    older = call(deployment, token, "POST", "messages", **body, template_version=1)
    assert wait_until_sent(deployment, token, older["id"], 3)[2]["content"]["text"] == "王：59分，请补考。"
    (request,) = [
        request
        for request in deployment.call("GET", "/api/v2/requests", token=token)["requests"]
        if request["id"] == sent["id"]
    ]
    assert request["content"] == {"template": name, "version": 1, "language": "zh", "params": {"grade": "59"}}


def test_an_sms_goes_by_the_providers_template(deployment: Deployment) -> None:
    token = make_user(deployment)
    name = publish(deployment, token, {"zh": {"sms": SMS}})
    numbers = [f"137{secrets.randbelow(10**8):08d}" for _ in range(2)]
    to = [{"to": number, "params": {"name": f"第{n}位"}} for n, number in enumerate(numbers)]
    body = {"method": "sms", "template": name, "params": {"grade": "九点"}, "to": to}
    assert call(deployment, token, "POST", "messages/check", **body)["segments"] == 2
    sent = call(deployment, token, "POST", "messages", **body)
    assert sent["segments"] == 2
    first, second = wait_until_sent(deployment, token, sent["id"], 2)
    assert first["status"] in ("sent", "delivered"), first
    entry = second["content"]["providers"]["aliyun"]
    assert entry == {"template": "SMS_100000003", "variables": {"name": "第1位", "time": "九点"}}

    too_long = {**body, "to": [to[0], {"to": numbers[1], "params": {"name": "长" * 21}}]}
    refused = call(deployment, token, "POST", "messages", **too_long)
    assert refused["errorCode"] == 10017
    assert "第 2 行" in refused["detail"], refused
    assert "name 最多 20 个字符" in refused["detail"], refused
    entry = {"template": "SMS_100000003", "variables": {"name": "{{ who }}", "time": "{{ day }} {{ hour }}"}}
    body["template"] = publish(deployment, token, {"zh": {"sms": {"providers": {"aliyun": entry}}}})
    for params, field in (
        ({"who": "长" * 21, "day": "1", "hour": "2"}, "params.who 不正确：who（aliyun 的变量 name）最多 20 个字符"),
        ({"who": "李", "day": "日" * 30, "hour": "时" * 30}, "params.day 不正确：day、hour（aliyun 的变量 time）最多"),
    ):
        refused = call(deployment, token, "POST", "messages", **{**body, "to": numbers[0], "params": params})
        assert field in refused["detail"], refused


def test_the_words_of_a_template_are_known_from_the_provider_alone(deployment: Deployment) -> None:
    """No settings name it: the sender has asked Aliyun, which the sandbox plays."""
    token = make_user(deployment)

    def write(**variables: str) -> dict[str, Any]:
        entry = {"template": "SMS_100000004", "variables": variables}
        return {"category": "marketing", "languages": {"zh": {"sms": {"providers": {"aliyun": entry}}}}}

    name = publish(deployment, token, **write(name="{{ who }}"))

    def preview() -> Any:  # noqa: ANN401  a row of JSON
        return call(deployment, token, "POST", f"templates/{name}/preview", method="sms", params={"who": "李"})[
            "texts"
        ][0]

    wait(lambda: preview()["text"] is not None, 60)
    assert preview() == {
        "provider": "aliyun", "text": "【天存】李您好，本馆新到一批图书，欢迎借阅。拒收请回复R", "segments": 1,
    }  # fmt: skip
    assert "缺少 name" in call(deployment, token, "PATCH", f"templates/{name}", **write())["detail"]
    wrong = write(name="{{ who }}", time="1")
    assert "没有变量 time" in call(deployment, token, "PATCH", f"templates/{name}", **wrong)["detail"]
    body = {"method": "sms", "template": name, "to": "13800138000"}
    assert call(deployment, token, "POST", "messages/check", **body, params={"who": "李" * 35})["segments"] == 1
    for who in ("李" * 36, "https://example.com"):
        refused = call(deployment, token, "POST", "messages", **body, params={"who": who})
        assert "params.who" in refused["detail"], refused


def test_what_does_not_fit_is_refused_before_it_is_accepted(deployment: Deployment) -> None:
    token, other = make_user(deployment), make_user(deployment)
    name = publish(deployment, token, {"zh": {"smtp": MAIL}})
    good = {"name": "张", "grade": "1"}
    body = {"method": "smtp", "template": name, "params": good, "to": "zhang@example.com"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"params": {"name": "张"}}, "缺少 grade"),
        ({"params": {**good, "class": "1"}}, "没有变量 class"),
        ({"params": {**good, "note": "x" * 2_001}}, "params.note"),
        ({"params": {**good, "name": "x" * 300}}, "subject 须为 1 到 255 个字符"),
        ({"category": "marketing"}, "类别是 notice"),
        ({"content": {"subject": "a", "text": "b"}}, "不能再写 content"),
        ({"template": "nothing"}, "没有已发布的模板 nothing"),
        ({"template_version": 2}, "的版本 2"),
        ({"method": "sms", "to": "13800138000"}, "没有 sms 的内容"),
        ({"to": [{"to": "a@example.com"}, {"to": "b@example.com", "params": {"x": "1"}}]}, "第 2 行"),
        ({"params": None, "to": [{"to": "a@example.com", "params": good}, {"to": "b@example.com"}]}, "第 2 行"),
        ({"template": None, "content": {"subject": "a", "text": "b"}}, "只能与 template 一起使用"),
    ]
    for change, why in wrong:
        for path in ("messages", "messages/check"):
            fields = {field: value for field, value in {**body, **change}.items() if value is not None}
            refused = call(deployment, token, "POST", path, **fields)
            assert refused["errorCode"] == 10017, (change, refused)
            assert why in refused["detail"], (change, refused)
    assert "没有已发布的模板" in call(deployment, other, "POST", "messages", **body)["detail"]
    assert deployment.call("GET", "/api/v2/requests", token=token)["requests"] == []
    call(deployment, token, "PATCH", f"templates/{name}", shared=True)
    assert call(deployment, other, "POST", "messages", **body)["errorCode"] == 0


def test_made_up_templates_arrive_as_they_were_previewed(deployment: Deployment) -> None:
    draw = Random(SEED)  # noqa: S311  made-up texts
    deployment.open_wide()
    token = deployment.token()
    pieces = (
        "{{ a }}",
        "{{ b | upcase }}",
        "{% if a %}是{{ b }}{% endif %}",
        "<",
        "中",
        "\n",
        "{{ c | default: '无' }}",
    )
    for _ in range(12):
        words = [draw.choice(pieces) for _ in range(9)]
        source = {"subject": "{{ a }}{{ b }}", "text": "".join(words), "html": "".join(reversed(words)) + "{{ b }}"}
        name = publish(deployment, token, {"zh": {"smtp": source}})
        params = {"a": draw.choice(("张三", "<b>", "x" * 30)), "b": draw.choice(("甲&乙", "é", "🙂"))}
        preview = call(deployment, token, "POST", f"templates/{name}/preview", method="smtp", params=params)["content"]
        to = [{"to": f"m{secrets.token_hex(6)}@example.com", "params": params} for _ in range(2)]
        sent = call(deployment, token, "POST", "messages", method="smtp", template=name, to=to)
        assert sent["errorCode"] == 0, (SEED, sent)
        rows = wait_until_sent(deployment, token, sent["id"], 2)
        for row, address in zip(rows, to, strict=True):
            shown = {field: row["content"][field] for field in preview}
            assert json.dumps(shown) == json.dumps(preview), SEED
            arrived = deployment.wait_arrived(to=str(address["to"]))
            assert arrived["subject"] == preview["subject"], SEED
            for part in ("text", "html"):
                assert arrived[part].replace("\r\n", "\n").rstrip("\n") == preview[part].rstrip("\n"), SEED


def test_what_a_template_takes_of_a_person_is_erased_with_them(deployment: Deployment) -> None:
    token = make_user(deployment)
    name = publish(deployment, token, {"zh": {"smtp": MAIL}})
    address, secret = f"e{secrets.token_hex(6)}@example.com", f"密{secrets.token_hex(6)}"
    to = [
        {"to": address, "params": {"name": secret, "grade": "1"}},
        {"to": "b@example.com", "params": {"name": "b", "grade": "2"}},
    ]
    sent = call(deployment, token, "POST", "messages", method="smtp", template=name, to=to)
    wait_until_sent(deployment, token, sent["id"], 2)
    assert secret in json.dumps(read_messages(deployment, token, sent["id"]), ensure_ascii=False)
    erasure = deployment.call(
        "POST", "/api/v2/erasures", {"token": deployment.token(), "method": "smtp", "to": address}
    )
    assert erasure["errorCode"] == 0, erasure
    wait(lambda: secret not in json.dumps(read_messages(deployment, token, sent["id"]), ensure_ascii=False), 60)
    other = next(row for row in read_messages(deployment, token, sent["id"]) if row["to"] == "b@example.com")
    assert other["content"]["text"] == "b：2分。"


def test_what_failed_is_sent_again_with_the_words_of_its_acceptance(deployment: Deployment, tmp_path: Path) -> None:
    del tmp_path
    token = make_user(deployment)
    name = publish(deployment, token, {"zh": {"smtp": MAIL}})
    to = [
        {"to": "bounce@example.com", "params": {"name": "退", "grade": "3"}},
        {"to": "reject@example.com", "params": {"name": "拒", "grade": "4"}},
    ]
    sent = call(deployment, token, "POST", "messages", method="smtp", template=name, to=to)
    rows = wait_until_sent(deployment, token, sent["id"], 2)
    failed = [row for row in rows if row["status"] == "failed"]
    assert failed, rows
    call(deployment, token, "DELETE", f"templates/{name}")
    again = call(deployment, token, "POST", "resend", id=failed[0]["id"])
    assert again["errorCode"] == 0, again
    (row,) = wait_until_sent(deployment, token, again["id"], 1)
    assert row["content"] == failed[0]["content"]


def follow(deployment: Deployment) -> tuple[str, str]:
    """Add a follower; return (openid, tag)."""
    openid = deployment.call("POST", "/sandbox/wechat/followers", {})["openid"]
    return openid, deployment.press(openid)


def test_a_wechat_message_goes_by_the_accounts_template(deployment: Deployment) -> None:
    token = make_user(deployment)
    variables = {"goods": "{{ goods }}{% if gift %}和{{ gift }}{% endif %}", "number": "{{ number | upcase }}"}
    source = {"providers": {"sandbox": {"template": "order", "variables": variables}}}
    name = publish(deployment, token, {"zh": {"wechat": source}})
    people = [follow(deployment) for _ in range(2)]
    bodies = [{"goods": "茶叶"}, {"goods": "茶叶", "gift": "茶杯"}]
    to = [{"to": tag, "params": params} for (_, tag), params in zip(people, bodies, strict=True)]
    body = {"method": "wechat", "template": name, "params": {"number": "a-100"}, "to": to}
    checked = call(deployment, token, "POST", "messages/check", **body)
    assert (checked["errorCode"], checked["count"]) == (0, 2), checked
    params = {**bodies[1], "number": "a-100"}
    preview = call(deployment, token, "POST", f"templates/{name}/preview", method="wechat", params=params)["content"]

    sent = call(deployment, token, "POST", "messages", **body)
    assert sent["errorCode"] == 0, sent
    _, second = wait_until_sent(deployment, token, sent["id"], 2)
    assert second["content"]["providers"] == preview["providers"]
    assert preview["providers"]["sandbox"]["variables"] == {"goods": "茶叶和茶杯", "number": "A-100"}
    for (openid, _), goods in zip(people, ("茶叶", "茶叶和茶杯"), strict=True):
        (arrived,) = deployment.inbox(method="wechat", to=openid)
        assert arrived["text"] == f"您的订单 A-100（{goods}）已发货。"

    for change, why in (
        ({"number": "a-100", "goods": "茶" * 21}, "goods"),
        ({"number": "甲", "goods": "茶叶"}, "number"),
        ({"number": "1"}, "缺少 goods"),
    ):
        refused = call(deployment, token, "POST", "messages", **{**body, "params": change, "to": people[0][1]})
        assert refused["errorCode"] == 10017, (change, refused)
        assert why in refused["detail"], (change, refused)
