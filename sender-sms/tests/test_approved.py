"""What a provider has approved is read in its own form, and nothing else of its list."""

from typing import Any

import pytest

from imsg_contract.route_limits import TemplateLimits
from imsg_sms.account_apis.port import AccountRefused
from imsg_sms.approved import list_approved
from imsg_sms.providers.calls import open_pool
from imsg_testing.http_stub import reply
from imsg_testing.sms import ACCOUNT, TENCENT, TWILIO, VOLCENGINE, Provider, configure

ALIYUN_LIST = [
    {"TemplateCode": "SMS_1", "AuditStatus": "AUDIT_STATE_PASS", "TemplateContent": "${name}您好，${time}见。"},
    {"TemplateCode": "SMS_2", "AuditStatus": "AUDIT_STATE_INIT", "TemplateContent": "${name}"},
    {"TemplateCode": "SMS_3", "AuditStatus": "AUDIT_STATE_NOT_PASS", "TemplateContent": "${name}"},
]
TENCENT_LIST = [
    {"TemplateId": 7, "StatusCode": 0, "TemplateContent": "验证码{2}，{1}分钟内有效。"},
    {"TemplateId": 8, "StatusCode": -1, "TemplateContent": "{1}"},
]


async def ask(name: str, account: Any, answer: dict[str, Any]) -> dict[str, TemplateLimits]:  # noqa: ANN401
    """Return the templates of an account whose provider gives this answer."""
    provider = Provider()
    provider.always = reply(answer)
    async with provider.running(), open_pool(60.0) as pool:
        settings = configure({name: {**account, "endpoint": provider.url}})
        return dict(await list_approved(settings.used[name], pool))


async def test_aliyuns_words_are_taken_with_the_signature_and_the_length_of_the_account() -> None:
    found = await ask("aliyun", ACCOUNT, {"Code": "OK", "SmsTemplateList": ALIYUN_LIST})
    assert list(found) == ["SMS_1"]
    assert found["SMS_1"].text == "${name}您好，${time}见。"
    assert found["SMS_1"].variables == {"name": 35, "time": 35}
    assert found["SMS_1"].signature == "【天存】"


async def test_tencents_numbers_are_the_names_of_its_variables() -> None:
    found = await ask("tencent", TENCENT, {"Response": {"DescribeTemplateStatusSet": TENCENT_LIST}})
    assert {name: (template.text, list(template.variables)) for name, template in found.items()} == {
        "7": ("验证码${2}，${1}分钟内有效。", ["2", "1"])
    }


async def test_volcengines_words_are_taken_where_they_are_approved() -> None:
    rows = [
        {"templateId": "ST_1", "status": 3, "content": "您的验证码为${code}。"},
        {"templateId": "ST_2", "status": 1, "content": "${code}"},
    ]
    found = await ask("volcengine", VOLCENGINE, {"ResponseMetadata": {}, "Result": {"list": rows, "total": 2}})
    assert {name: (template.text, template.variables, template.signature) for name, template in found.items()} == {
        "ST_1": ("您的验证码为${code}。", {"code": 35}, "【天存】")
    }


async def test_a_provider_without_the_call_is_not_asked_and_a_refusal_is_logged() -> None:
    assert await ask("twilio", TWILIO, {}) == {}
    with pytest.raises(AccountRefused, match="NoPermission"):
        await ask("aliyun", ACCOUNT, {"Code": "NoPermission", "Message": "ask your administrator"})
