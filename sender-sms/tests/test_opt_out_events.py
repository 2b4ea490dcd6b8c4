"""The events on opt-outs: of a reply, and of a provider's refusal of a number that opted out there."""

from datetime import UTC, datetime
from typing import Literal

import pytest

from imsg_broker.port import PublishRefused
from imsg_contract.results import Refused
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Inbound, Receipt, Recipient, Status
from imsg_sms.opt_out_events import publish_opt_out, read_receipt_opt_out, read_refusal, read_reply
from imsg_testing.jobs import make_job

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ZHANG = Recipient(n=3, to="13800138000", address="+8613800138000")
JOB = make_job(at=NOW, request="0193643f5a7c7d3e8f1a2b3c4d5e6f70", method="sms", content="x", recipients=(ZHANG,))
STOPPED = Refused("twilio", "21610", "Attempt to send to unsubscribed recipient", "recipient")
LISTED = Refused("tencent", "FailedOperation.PhoneNumberInBlacklist", "", "recipient")


def wrote(text: str, **fields: bool) -> Inbound:
    """Write an answer of Zhang's."""
    return Inbound(
        method="sms", provider="aliyun", id="1", address=ZHANG.address, signature="天存", text=text, at=NOW, **fields
    )


def test_an_opt_out_is_of_marketing_and_its_opposite_lifts_all_that_opt_outs_keep_back() -> None:
    (out,) = read_reply(wrote("TD", opt_out=True))
    back = read_reply(wrote("START", opt_in=True))

    assert (out.reason, out.sender, out.category, out.lifts) == (Reason.OPT_OUT, "天存", "marketing", False)
    assert [(suppression.sender, suppression.category, suppression.lifts) for suppression in back] == [
        ("天存", "notice", True),
        ("天存", "marketing", True),
    ]
    assert read_reply(wrote("好的")) == []


@pytest.mark.parametrize(
    ("refused", "sender"),
    [(STOPPED, None), (LISTED, "天存")],
    ids=["21610 is of whatever comes from there", "Tencent's list is of the signature"],
)
def test_a_number_that_opted_out_at_its_provider_gets_no_notices_nor_marketing(
    refused: Refused, sender: str | None
) -> None:
    told = read_refusal(JOB, ZHANG, refused, "天存", NOW, kind=refused.provider)

    assert [
        (suppression.address, suppression.reason, suppression.sender, suppression.category) for suppression in told
    ] == [(ZHANG.address, Reason.OPT_OUT, sender, category) for category in ("notice", "marketing")]
    assert {(suppression.request, suppression.n) for suppression in told} == {(JOB.request, 3)}


def test_no_other_refusal_is_an_opt_out() -> None:
    assert read_refusal(JOB, ZHANG, Refused("twilio", "21211", "", "recipient"), None, NOW, kind="twilio") == ()
    assert read_refusal(JOB, ZHANG, Refused("tencent", "21610", "", "recipient"), None, NOW, kind="tencent") == ()


def test_who_opted_out_of_marketing_still_gets_notices() -> None:
    refused = Refused("aliyun", "isv.CUSTOMER_REFUSED", "用户已退订推广短信", "recipient")
    assert [
        (suppression.sender, suppression.category)
        for suppression in read_refusal(JOB, ZHANG, refused, "天存", NOW, kind=refused.provider)
    ] == [("天存", "marketing")]


def receipt(
    provider: str,
    code: str | None,
    detail: str | None = None,
    status: Literal[Status.DELIVERED, Status.FAILED] = Status.FAILED,
) -> Receipt:
    """Make a receipt of Zhang's message."""
    return Receipt(
        provider=provider, provider_id="1", address=ZHANG.address, status=status, code=code, detail=detail, at=NOW
    )


@pytest.mark.parametrize(
    ("provider", "code", "detail"),
    [
        ("aliyun", "MOBILE_IN_BLACK", "手机号在黑名单"),
        ("aliyun", "USER_REJECT", None),
        ("aliyun", "W-BLACK", None),
        ("tencent", "MBBLACK", "用户短信接收失败"),
        ("tencent", "ID:1234", "手机号在运营商黑名单中"),
        ("tencent", "XX:0001", "该号码已退订此签名"),
        ("volcengine", "1005", "user in blacklist"),
        ("http", "TDBLACK", None),
        ("http", "FAIL", "MBBLACK"),
        ("http", "black", None),
        ("http", "BLACKLISTED", None),
    ],
)
def test_a_receipt_that_reports_an_opt_out_suppresses_notices_and_marketing(
    provider: str, code: str, detail: str | None
) -> None:
    told = read_receipt_opt_out(receipt(provider, code, detail), "天存", kind=provider)
    assert [
        (
            suppression.method,
            suppression.address,
            suppression.reason,
            suppression.sender,
            suppression.category,
            suppression.lifts,
        )
        for suppression in told
    ] == [("sms", ZHANG.address, Reason.OPT_OUT, "天存", category, False) for category in ("notice", "marketing")]
    assert {suppression.evidence for suppression in told} == {f"{code} {detail or ''}".strip()}


def test_what_a_description_calls_an_opt_out_is_one_whatever_its_words() -> None:
    plain = receipt("http", "2:70", "网关拒绝")
    assert read_receipt_opt_out(plain, None, kind="http") == ()
    assert [
        (suppression.sender, suppression.category)
        for suppression in read_receipt_opt_out(plain, None, kind="http", is_described=True)
    ] == [
        (None, "notice"),
        (None, "marketing"),
    ]


def test_an_opt_out_by_callback_holds_for_every_sender_of_the_account() -> None:
    assert {
        suppression.sender for suppression in read_receipt_opt_out(receipt("twilio", "21610"), "天存", kind="twilio")
    } == {None}


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("MK:0001", "空号"),
        ("CONTENT_KEYWORD", "内容含有黑名单关键字"),
        ("SIGNBLACK", "签名被拉黑"),
        ("X", "签名在黑名单中"),
        ("CONTENT_ERROR", "推广短信中必须带退订信息"),
        ("X", "IP在黑名单"),
        ("21610", None),
        (None, None),
        ("BACKBLACKBOARD", None),
    ],
)
def test_a_receipt_of_anything_else_keeps_nothing_back(code: str | None, detail: str | None) -> None:
    assert read_receipt_opt_out(receipt("aliyun", code, detail), "天存", kind="aliyun") == ()
    assert (
        read_receipt_opt_out(receipt("aliyun", "MOBILE_IN_BLACK", None, Status.DELIVERED), "天存", kind="aliyun") == ()
    )


async def test_a_broker_that_is_away_costs_the_message_nothing() -> None:
    async def refuse(_: Suppression) -> None:
        raise PublishRefused("away")

    await publish_opt_out(refuse, JOB, ZHANG, STOPPED, None, kind="twilio")
