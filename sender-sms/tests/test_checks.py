"""`imsg providers check` for SMS reports each provider's answer, and sends nothing."""

import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from imsg_delivery.provider_kinds import AccountFault
from imsg_sms import main as sms
from imsg_sms.accounts import explain_refusal
from imsg_testing.http_stub import reply
from imsg_testing.sms import ACCOUNT, SIGN, TENCENT, TWILIO, VOLCENGINE, Provider, configure

CHINESE = re.compile("[\u3400-\u9fff]")


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Run a provider whose answers a test sets."""
    provider = Provider()
    async with provider.running():
        yield provider


async def check(name: str, account: Any, provider: Provider) -> tuple[bool | None, str]:  # noqa: ANN401  a settings' group
    """Check one provider."""
    settings = configure({name: {**account, "endpoint": provider.url}})
    (result,) = await sms.check_providers(settings, answer_timeout_s=60.0)
    assert result.provider == name
    assert CHINESE.search(result.detail.zh), result.detail
    return result.is_ok, result.detail.en


FILED = [{"OperatorCode": carrier, "RegisterStatus": 1} for carrier in ("mobile", "unicom", "telecom")]
UNSAID = "did not say whether signature"
WELL = {"Code": "OK", "TemplateStatus": 1, "SignStatus": 1, "SignIspRegisterDetailList": FILED}


@pytest.mark.parametrize(
    ("answer", "is_ok", "detail"),
    [
        (WELL, True, "1 templates approved"),
        ({**WELL, "SignIspRegisterDetailList": []}, None, UNSAID),
        ({**WELL, "SignIspRegisterDetailList": None}, None, UNSAID),
        ({**WELL, "SignIspRegisterDetailList": FILED[:1]}, None, UNSAID),
        ({**WELL, "SignIspRegisterDetailList": [*FILED[:2], {**FILED[2], "RegisterStatus": 9}]}, None, UNSAID),
        ({**WELL, "SignStatus": 7}, None, UNSAID),
        ({**WELL, "TemplateStatus": None}, None, "did not say whether these templates are approved"),
        ({"Code": "OK", "TemplateStatus": 2}, False, "SMS_100000001 is rejected"),
        ({"Code": "OK", "SignStatus": 2, "AuditInfo": {"RejectInfo": "no proof"}}, False, "is rejected (no proof)"),
        (
            {
                "Code": "OK",
                "SignStatus": 1,
                "SignIspRegisterDetailList": [
                    {"OperatorCode": "mobile", "RegisterStatus": 3},
                    {
                        "OperatorCode": "unicom",
                        "RegisterStatus": 0,
                        "RegisterStatusReasons": [
                            {"ReasonCode": "QUALIFICATION_ERROR", "ReasonDescList": ["资质不符"]}
                        ],
                    },
                    {"OperatorCode": "telecom", "RegisterStatus": -1},
                ],
            },
            False,
            "not filed with the carriers (China Unicom filing failed 资质不符; China Telecom being filed)",
        ),
        ({"Code": "InvalidAccessKeyId.NotFound", "Message": "no such key"}, False, "InvalidAccessKeyId.NotFound"),
    ],
)
async def test_aliyun_is_asked_for_each_template(
    provider: Provider, answer: dict[str, Any], *, is_ok: bool | None, detail: str
) -> None:
    provider.always = reply(answer)
    result = await check("aliyun", ACCOUNT, provider)
    assert result[0] is is_ok
    assert detail in result[1]


async def test_tencent_reports_its_templates_and_the_messages_left(provider: Provider) -> None:
    listed = {"DescribeTemplateStatusSet": [{"TemplateId": 1110, "StatusCode": 0}]}
    later, before = int(time.time()) + 86_400, 1_700_000_000
    packages = {
        "SmsPackagesStatisticsSet": [
            {"PackageAmount": 1_000, "CurrentUsage": 260, "PackageExpiredTime": later},
            {"PackageAmount": 5_000, "CurrentUsage": 1, "PackageExpiredTime": before},
        ]
    }
    provider.always = reply({"Response": {**listed, **packages}})
    is_ok, detail = await check("tencent", {**TENCENT, "template": "1110"}, provider)
    assert is_ok is None
    assert UNSAID in detail
    filed = {"DescribeSignListStatusSet": [{"SignId": 1, "SignName": SIGN, "StatusCode": 0}]}
    provider.always = reply({"Response": {**listed, **packages, **filed}})
    assert await check("tencent", {**TENCENT, "template": "1110"}, provider) == (
        True,
        "the log-in works; 1 templates approved; 740 left in its packages",
    )
    asked = json.loads(provider.asked[-1]["body"])
    assert int(asked["BeginTime"][:4]) < int(asked["EndTime"][:4]), "a package may be bought long ago"
    signs = [{"SignId": 1, "SignName": SIGN, "StatusCode": -1, "ReviewReply": "未完成首次报备"}]
    provider.always = reply({"Response": {**listed, **packages, "DescribeSignListStatusSet": signs}})
    assert (
        "not filed with the carriers (未完成首次报备)"
        in (await check("tencent", {**TENCENT, "template": "1110"}, provider))[1]
    )
    provider.always = reply({"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound", "Message": "none"}}})
    assert (await check("tencent", TENCENT, provider))[0] is False


@pytest.mark.parametrize(
    ("template", "packages", "detail"),
    [
        ("SMS_100000001", [], "template SMS_100000001 is no number"),
        ("1110", [None, {"PackageAmount": "many", "PackageExpiredTime": None}], "0 left in its packages"),
    ],
)
async def test_an_invalid_template_id_or_an_unreadable_package_is_reported(
    provider: Provider, template: str, packages: list[Any], detail: str
) -> None:
    listed = {"DescribeTemplateStatusSet": [{"TemplateId": 1110, "StatusCode": 0}]}
    provider.always = reply({"Response": {**listed, "SmsPackagesStatisticsSet": packages}})
    assert detail in (await check("tencent", {**TENCENT, "template": template}, provider))[1]


async def test_twilio_reports_its_balance(provider: Provider) -> None:
    provider.always = reply({"balance": "12.30", "currency": "USD"})
    assert await check("twilio", TWILIO, provider) == (True, "the log-in works; balance 12.30 USD")
    provider.always = reply({"balance": "0.00", "currency": "USD"})
    assert (await check("twilio", TWILIO, provider))[0] is False
    provider.always = reply({"code": 20003, "message": "Authenticate"}, 401)
    assert await check("twilio", TWILIO, provider) == (False, "20003 Authenticate")


@pytest.mark.parametrize(
    ("row", "is_ok", "detail"),
    [
        ({"content": SIGN, "status": 3, "usable": True}, True, "the log-in works"),
        ({"content": SIGN, "status": 1}, False, "is in review"),
        (
            {
                "content": SIGN,
                "status": 3,
                "usable": False,
                "reportStatus": {"cmcc": {"status": 2, "reason": "资质过期"}},
            },
            False,
            "China Mobile not filed 资质过期",
        ),
        ({"content": "另一个", "status": 3}, False, f"no signature {SIGN}"),
    ],
)
async def test_volcengine_is_asked_for_the_signature(
    provider: Provider, row: dict[str, Any], *, is_ok: bool, detail: str
) -> None:
    provider.always = reply({"ResponseMetadata": {}, "Result": {"list": [row], "total": 1}})
    result = await check("volcengine", VOLCENGINE, provider)
    assert (result[0], detail in result[1]) == (is_ok, True), result


async def test_volcengines_reason_for_refusing_a_key_is_shown(provider: Provider) -> None:
    provider.always = reply({"ResponseMetadata": {"Error": {"Code": "InvalidAccessKey", "Message": "none"}}}, 401)
    assert await check("volcengine", VOLCENGINE, provider) == (False, "InvalidAccessKey none")


async def test_an_unreachable_provider_is_reported() -> None:
    settings = configure({"twilio": {**TWILIO, "endpoint": "http://127.0.0.1:1"}})
    (result,) = await sms.check_providers(settings, answer_timeout_s=60.0)
    assert result.is_ok is False
    assert "can't be reached" in result.detail.en
    assert CHINESE.search(result.detail.zh), result.detail


async def test_a_provider_that_is_sent_free_text_reports_it_in_place_of_templates() -> None:
    with pytest.raises(AccountFault) as fault:
        await sms.list_entries(configure({"twilio": TWILIO}), "twilio", "templates")
    assert "整条文字" in fault.value.trouble.zh
    assert "whole text" in fault.value.trouble.en


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("isv.AMOUNT_NOT_ENOUGH 账户余额不足", "balance"),
        ("UnauthorizedOperation.ServiceSuspendDueToArrears arrears", "balance"),
        ("UnauthorizedOperation.SmsSdkAppIdVerifyFail", "app_id"),
        ("UnauthorizedOperation.RequestIpNotInWhitelist", "address"),
        ("InternalError.RequestTimeException", "clock"),
        ("isp.RAM_PERMISSION_DENY RAM权限DENY", "right"),
        ("FailedOperation.TemplateIdNotExist", "template"),
        ("RE:0004 签名无效", "signature"),
        ("RE:0007 IP 不在白名单", "address"),
        ("20005 Account not active", "balance"),
        ("smsbao:41 余额不足", "balance"),
        ("chuanglan:117", "address"),
        ("mas:NOT_WHITE_IP", "address"),
        ("yunpian:-1 非法的apikey", "secret"),
        ("yunpian:-11 账号注销", None),
        ("isv.UNHEARD_OF 20005", None),
    ],
)
def test_what_a_send_is_refused_for_is_known_by_its_code(answer: str, code: str | None) -> None:
    trouble = explain_refusal(answer)
    assert (None if trouble is None else trouble.code) == code


def test_the_words_of_a_provider_are_quoted_in_a_sentence_and_cut() -> None:
    trouble = explain_refusal(f"SignatureDoesNotMatch Specified signature is not matched: {'x' * 1_000}")
    assert trouble is not None
    assert trouble.zh.startswith("密钥不正确（SignatureDoesNotMatch Specified")
    assert trouble.zh.endswith("x…）。")
    assert len(trouble.zh) < 200
