"""POST /api/v2/messages from the fields to the Job at the broker."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_contract.route_limits import TemplateLimits
from imsg_contract.topology import Lane, template_limits_key
from imsg_testing.api_versions import read_answer
from imsg_testing.gateway import RunningGateway, mail

TAG = "84G-7ZW-YRB"


async def test_a_mail_is_accepted_and_stands_at_the_broker(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await gateway.send(token=token)
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert body == {"errorCode": 0, "errorMessage": "OK", "id": body["id"], "count": 1, "cost": []}
    (job,) = await gateway.jobs()
    assert job.request == body["id"]
    assert job.username == "zhang"
    assert job.content == {"subject": "开会通知", "text": "下午两点半"}
    assert [(recipient.n, recipient.to, recipient.address) for recipient in job.recipients] == [
        (0, "li@example.com", "li@example.com")
    ]
    assert job.expires_at - job.accepted_at == timedelta(hours=24)


async def test_the_id_is_a_uuid_of_version_7_of_this_moment(gateway: RunningGateway) -> None:
    token = await gateway.user()
    before = datetime.now(UTC)
    first, second = [(await gateway.send(token=token)).json()["id"] for _ in range(2)]
    made = datetime.fromtimestamp(int(first[:12], 16) / 1000, UTC)
    assert before - timedelta(seconds=1) < made <= datetime.now(UTC)
    assert len(first) == 32
    assert first[12] == "7"
    assert first[16] in "89ab"
    assert first != second


async def test_an_email_address_is_one_person_whatever_its_case_and_is_sent_to_as_written_first(
    gateway: RunningGateway,
) -> None:
    token = await gateway.user()
    await gateway.user("li", contacts={"smtp": "LI@example.com"})
    to = ["Zhang.San@example.com", "zhang.san@EXAMPLE.com", "li", "li@example.com", "zhang.san@example.com"]
    answer = (await gateway.send(token=token, to=to)).json()
    assert answer["count"] == 2
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert [(recipient.to, recipient.address) for recipient in job.recipients] == [
        ("Zhang.San@example.com", "Zhang.San@example.com"),
        ("li", "LI@example.com"),
    ]


async def test_duplicates_are_sent_once_and_messages_are_numbered_in_order(gateway: RunningGateway) -> None:
    token = await gateway.user()
    to = ["wang@Example.com", "li@example.com", "wang@example.com", "li@example.com", "赵@例子.中国"]
    answer = await gateway.send(token=token, to=to)
    assert answer.json()["count"] == 3
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert [(recipient.n, recipient.to, recipient.address) for recipient in job.recipients] == [
        (0, "wang@Example.com", "wang@example.com"),
        (1, "li@example.com", "li@example.com"),
        (2, "赵@例子.中国", "赵@xn--fsqu00a.xn--fiqs8s"),
    ]


async def test_usernames_and_addresses_may_be_mixed_and_a_users_own_address_is_sent_once(
    gateway: RunningGateway,
) -> None:
    token = await gateway.user()
    await gateway.user("天存-system-1001", contacts={"smtp": "tian@example.com", "sms": "+8613800138000"})
    answer = await gateway.send(token=token, to=["天存-system-1001", "tian@example.com", "li@example.com"])
    assert answer.json()["count"] == 2
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert [recipient.to for recipient in job.recipients] == ["天存-system-1001", "li@example.com"]
    answer = await gateway.send(token=token, method="sms", to="天存-system-1001", content="明天下雨")
    (job,) = await gateway.jobs(method="sms")
    assert job.recipients[0].address == "+8613800138000"


async def test_one_wrong_recipient_of_10000_refuses_them_all_and_is_named(gateway: RunningGateway) -> None:
    token = await gateway.user(per_hour=1)
    to = [f"user{n}@example.com" for n in range(9_999)]
    answer = await gateway.send(token=token, to=[*to[:7_000], "wrong@@example.com", *to[7_000:]])
    assert answer.json()["errorCode"] == 10011
    assert "wrong@@example.com" in answer.json()["detail"]
    assert "user" not in answer.json()["detail"]
    answer = await gateway.send(token=token, to=[*to, "last@example.com"])
    assert answer.json()["count"] == 10_000
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert len(job.recipients) == 10_000


async def test_of_many_wrong_recipients_twenty_are_named(gateway: RunningGateway) -> None:
    token = await gateway.user()
    answer = await gateway.send(token=token, to=[f"wrong{n}@@example.com" for n in range(50)])
    assert answer.json()["detail"].count("@@") == 20
    assert "50" in answer.json()["detail"]


async def test_an_attachment_goes_to_history_before_the_job_and_by_reference(gateway: RunningGateway) -> None:
    token = await gateway.user()
    data = bytes(range(256)) * 1_000
    wrapped = base64.encodebytes(data).decode()
    answer = await gateway.send(token=token, attachment={"filename": "会议 纪要.PDF", "file": wrapped})
    (job,) = await gateway.jobs()
    (attachment,) = job.attachments
    digest = hashlib.sha256(data).hexdigest()
    assert (attachment.filename, attachment.type) == ("会议 纪要.PDF", "application/pdf")
    assert (attachment.size, attachment.sha256) == (len(data), digest)
    assert gateway.history.kept[answer.json()["id"], digest] == data


async def test_several_attachments_and_an_empty_file_are_taken(gateway: RunningGateway) -> None:
    token = await gateway.user()
    files = [{"filename": "a.txt", "file": "aGk="}, {"filename": "空", "file": ""}]
    assert (await gateway.send(token=token, attachment=files)).json()["errorCode"] == 0
    (job,) = await gateway.jobs()
    assert [(attachment.filename, attachment.type, attachment.size) for attachment in job.attachments] == [
        ("a.txt", "text/plain", 2),
        ("空", "application/octet-stream", 0),
    ]


@pytest.mark.parametrize(
    ("given", "kept", "kind"),
    [
        ("账单\u202efdp.exe", "账单fdp.exe", "application/octet-stream"),
        ("\u2066a\u2069\u200f.\u200btxt\ufeff", "a.txt", "text/plain"),
        ("pay\u00adroll\u3164\U000e0041.pdf", "payroll.pdf", "application/pdf"),
        ("简历 — 王芳（终稿）.docx", "简历 — 王芳（终稿）.docx", None),
    ],
)
async def test_a_name_loses_its_invisible_characters(
    gateway: RunningGateway, given: str, kept: str, kind: str | None
) -> None:
    token = await gateway.user()
    await gateway.send(token=token, attachment={"filename": given, "file": "aGk="})
    (job,) = await gateway.jobs()
    assert job.attachments[0].filename == kept
    assert kind is None or job.attachments[0].type == kind


@pytest.mark.parametrize("name", ["\u202e\u200b", "\u200e..", "\u2067.\u2069"])
async def test_a_name_of_which_nothing_is_seen_is_none(gateway: RunningGateway, name: str) -> None:
    answer = await gateway.send(token=await gateway.user(), attachment={"filename": name, "file": "aGk="})
    assert answer.json()["errorCode"] == 10010


@pytest.mark.parametrize("nothing", [None, []])
async def test_no_attachment_is_none(gateway: RunningGateway, nothing: object) -> None:
    token = await gateway.user()
    answer = await gateway.send(token=token, attachment=nothing, account=None)
    assert answer.json()["errorCode"] == 0


@pytest.mark.parametrize("beside", [{"html": "<p>你好</p>"}, {}])
async def test_text_may_be_empty_beside_html_or_an_attachment(gateway: RunningGateway, beside: dict[str, str]) -> None:
    token = await gateway.user()
    attachment = None if beside else {"filename": "a.txt", "file": "aGk="}
    content = {"subject": "a", "text": "", **beside}
    assert (await gateway.send(token=token, content=content, attachment=attachment)).json()["errorCode"] == 0
    (job,) = await gateway.jobs()
    assert job.content == content


async def test_long_content_goes_to_history_and_the_job_holds_its_reference(gateway: RunningGateway) -> None:
    token = await gateway.user()
    content = {"subject": "长", "text": "天气预报\n" * 20_000}
    answer = await gateway.send(token=token, content=content)
    (job,) = await gateway.jobs()
    assert job.content is None
    assert job.content_at is not None
    kept = gateway.history.kept[answer.json()["id"], job.content_at.sha256]
    assert json.loads(kept) == content
    assert hashlib.sha256(kept).hexdigest() == job.content_at.sha256
    assert len(kept) == job.content_at.size


async def test_content_keeps_its_own_fields_and_no_others(gateway: RunningGateway) -> None:
    token = await gateway.user()
    content = {"subject": "a", "text": "b", "html": None, "bcc": "x@example.com"}
    await gateway.client.post("/api/send", json=mail(token=token, content=content, other=1))
    (job,) = await gateway.jobs()
    assert job.content == {"subject": "a", "text": "b"}


@pytest.mark.parametrize(
    ("text", "number", "count"),
    [
        ("明天下雨", "13800138000", 1),
        ("雨" * 70, "13800138000", 1),
        ("雨" * 71, "13800138000", 2),
        ("a" * 71, "13800138000", 2),
        ("a" * 160, "+16502530000", 1),
        ("a" * 161, "+16502530000", 2),
        ("a" * 80 + "{" * 40, "+16502530000", 1),
        ("a" * 80 + "{" * 41, "+16502530000", 2),
        ("雨" * 70, "+16502530000", 1),
        ("😀" * 36, "+16502530000", 2),
    ],
)
async def test_the_answer_to_an_sms_holds_the_segments_of_one_message(
    gateway: RunningGateway, text: str, number: str, count: int
) -> None:
    token = await gateway.user()
    answer = await gateway.send(token=token, method="sms", to=number, content=text)
    assert answer.json()["segments"] == count
    (job,) = await gateway.jobs(method="sms")
    assert job.segments == count
    assert job.expires_at - job.accepted_at == timedelta(hours=1)


async def test_a_send_answers_the_segments_of_all_its_messages(gateway: RunningGateway) -> None:
    token = await gateway.user()
    to = ["13800138000", "13800138001", "+16502530000"]
    answer = await gateway.send(token=token, method="sms", to=to, content="a" * 80)
    assert answer.json()["segments"] == 2 + 2 + 1


async def test_an_sms_has_500_characters_at_most_with_its_signature(gateway: RunningGateway) -> None:
    token = await gateway.user()
    fields = {"token": token, "method": "sms", "to": "13800138000"}
    assert (await gateway.send(**fields, content="雨" * 500)).json()["segments"] == 8
    assert (await gateway.send(**fields, content="雨" * 501)).json()["errorCode"] == 10009


async def publish(run_gateway: RunningGateway, method: str = "sms", **limits: Any) -> None:  # noqa: ANN401
    """Publish two templates as a sender does: `notice`, the default, and `code`."""
    notice = {"default": True, "signature": "【天存】", "text": "通知：${content}。", "variables": {"content": 20}}
    for name, fields in (("notice", notice | limits), ("code", {"variables": {"code": 6, "minutes": None}})):
        value = TemplateLimits.model_validate(fields).model_dump_json()
        await run_gateway.redis.call("HSET", template_limits_key(method), name, value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("雨" * 21, "20"),
        ("看【这里】", "【"),
        ("看http://a.cn/b", "网址"),
        ("两\n行", "换行"),
        ({"template": "none", "params": {}}, "notice, code"),
        ({"template": "code", "params": {"code": "123456"}}, "minutes"),
        ({"template": "code"}, "code, minutes"),
        ({"template": "code", "params": {"code": "1", "minutes": "5", "more": "x"}}, "more"),
        ({"template": "code", "params": {"code": "1234567", "minutes": "5"}}, "6"),
    ],
)
async def test_what_the_provider_would_refuse_is_refused_by_the_limits_of_its_template(
    gateway: RunningGateway, content: object, complaint: str
) -> None:
    token = await gateway.user()
    await publish(gateway)
    answer = await gateway.send(token=token, method="sms", to="13800138000", content=content)
    assert answer.json()["errorCode"] == 10009
    assert complaint in answer.json()["detail"]


async def test_segments_count_the_signature_and_the_templates_own_words(gateway: RunningGateway) -> None:
    token = await gateway.user()
    await publish(gateway, variables={"content": None})
    fields = {"token": token, "method": "sms", "to": "13800138000"}
    assert (await gateway.send(**fields, content="雨" * 62)).json()["segments"] == 1
    assert (await gateway.send(**fields, content="雨" * 63)).json()["segments"] == 2
    code = {"template": "code", "params": {"code": "1", "minutes": "5"}}
    assert (await gateway.send(**fields, content=code)).json()["errorCode"] == 0


async def test_a_wechat_message_goes_to_a_tag_however_it_is_written(either: RunningGateway) -> None:
    token = await either.user()
    answer = await either.send(token=token, method="wechat", to=["84g7zwyrb", TAG], content="明天下雨")
    assert read_answer(answer)["count"] == 1
    (job,) = await either.jobs(method="wechat")
    assert (job.recipients[0].to, job.recipients[0].address, job.account) == ("84g7zwyrb", TAG, None)
    await either.send(token=token, method="wechat", to=TAG, content={"template": "a"}, account="main")
    (job,) = await either.jobs(method="wechat")
    assert (job.account, job.content) == ("main", {"template": "a", "params": {}})


async def test_where_the_followers_are_not_known_the_sender_settles(either: RunningGateway) -> None:
    token = await either.user()
    answer = await either.send(token=token, method="wechat", to="RDV-1EW-ZEF", content="明天下雨")
    assert answer.json()["errorCode"] == 0


@pytest.mark.parametrize("path", ["/api/send", "/api/v2/messages", "/api/send/", "/api/v2/messages/"])
@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a/b;c"]
)
async def test_the_body_is_json_whatever_its_content_type_with_or_without_a_slash(
    gateway: RunningGateway, path: str, kind: str | None
) -> None:
    token = await gateway.user()
    body = b"\xef\xbb\xbf" + json.dumps(mail(token=token), ensure_ascii=False).encode()
    answer = await gateway.client.post(path, content=body, headers={"content-type": kind} if kind else {})
    assert answer.status_code == (202 if "v2" in path else 200)
    assert answer.json()["errorCode"] == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"method": "none", "method": "smtp"}', 10002),
        ('{"to": "li@example.com", "to": ""}', 10002),
        ('{"per_day": 1e999999}', 10002),
        ('{"x": -0.0, "y": 123456789012345678901234567890}', 10002),
        ('{"\\u202e": "\\u202e"}', 10002),
    ],
)
async def test_odd_json_is_read_as_it_stands(gateway: RunningGateway, body: str, code: int) -> None:
    token = await gateway.user()
    answer = await gateway.client.post(f"/api/send?token={token}", content=body)
    assert answer.json()["errorCode"] == code


@pytest.mark.parametrize(
    ("language", "word"),
    [("en", "missing"), ("en-GB,zh;q=0.5", "missing"), ("zh-CN,en;q=0.8", "缺少"), ("", "缺少"), ("fr", "缺少")],
)
async def test_the_detail_is_chinese_or_english_where_that_is_preferred(
    gateway: RunningGateway, language: str, word: str
) -> None:
    answer = await gateway.client.post("/api/v2/messages", json={}, headers={"accept-language": language})
    assert word in answer.json()["detail"]
    assert answer.json()["errorMessage"] == "缺少必要请求参数"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"token": ...}, 10002),
        ({"token": "x"}, 10005),
        ({"content": None}, 10002),
        ({}, 10008),
        ({"method": "wechat", "account": "nobody"}, 10015),
        ({"method": "smtp", "account": 5}, 10017),
        ({"method": "smtp"}, 10011),
        ({"method": "smtp", "to": "li@example.com"}, 10009),
        ({"method": "smtp", "to": "li@example.com", "content": {"subject": "a", "text": "b"}}, 10010),
    ],
)
async def test_the_first_wrong_thing_in_the_promised_order_is_reported(
    either: RunningGateway, wrong: dict[str, Any], code: int
) -> None:
    token = await either.user(available=False, per_hour=0)
    everything = {"token": token, "method": "none", "to": "", "content": "", "attachment": 5}
    fields = {name: value for name, value in (everything | wrong).items() if value is not ...}
    answer = await either.client.post("/api/v2/messages", json=fields)
    assert answer.json()["errorCode"] == code


async def test_a_refusal_uses_up_no_limit_and_sends_nothing(either: RunningGateway) -> None:
    token = await either.user(per_hour=1)
    for wrong in ({"to": ""}, {"method": "none"}, {"content": ""}, {"attachment": 5}, {"to": "nobody"}, {"account": 5}):
        assert (await either.send(token=token, **wrong)).json()["errorCode"] != 0
    assert await either.waiting() == 0
    assert (await either.send(token=token)).json()["errorCode"] == 0


WRONG_REFERENCES: list[object] = ["", "x" * 256, 5, [], "a\nb"]


async def test_a_reference_and_a_life_of_ones_own_go_with_the_job(gateway: RunningGateway) -> None:
    token = await gateway.user()
    await gateway.send(token=token, reference="订单-2026/1", expires_in=30)
    (job,) = await gateway.jobs()
    assert job.reference == "订单-2026/1"
    assert job.expires_at - job.accepted_at == timedelta(seconds=30)
    await gateway.send(token=token, reference=None, expires_in=None)
    (job,) = await gateway.jobs()
    assert (job.reference, job.expires_at - job.accepted_at) == (None, timedelta(hours=24))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("reference", value) for value in WRONG_REFERENCES],
        *(("expires_in", value) for value in (29, 172_801, "60", 60.0, True, -1)),
    ],
)
async def test_10017_a_reference_or_a_life_that_is_none(gateway: RunningGateway, field: str, value: object) -> None:
    answer = await gateway.send(token=await gateway.user(), **{field: value})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 10017)
    assert field in answer.json()["detail"]
