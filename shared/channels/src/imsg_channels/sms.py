"""SMS."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import Field, RootModel, Tag, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from imsg_channels import segments
from imsg_channels.content import content_error
from imsg_channels.deployment import Deployment
from imsg_channels.spec import Address, BilingualText, ChannelSpec
from imsg_channels.stand_in import ANY, At, Secret, StandIn
from imsg_channels.templates import (
    TEXT_OR_TEMPLATE,
    FreeText,
    Template,
    check_value,
    dump_content,
    fill,
    find,
    params_of,
    templates_of,
)
from imsg_contract import addresses
from imsg_contract.route_limits import TemplateLimits
from imsg_contract.wire import Status

MAX_SMS_CHARACTERS = 500
"""The most characters with the signature: Aliyun's limit for one message, eight segments."""

_LINK = re.compile(r"(?i)https?://|www\.|[a-z0-9-]\.(?:com|cn|net|org|cc|top|xyz|io|me)\b")

_Text = Annotated[FreeText, Field(json_schema_extra={"maxLength": MAX_SMS_CHARACTERS}), Tag("text")]


class SmsContent(RootModel[Annotated[_Text | Template, TEXT_OR_TEMPLATE]]):
    """A text for the default template, or a template and its variables."""

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> "SmsContent":
        templates, content = templates_of(info), dump_content(self.root)
        if (filled := fill(content, templates)) is not None and len(filled) > MAX_SMS_CHARACTERS:
            raise content_error(
                f"短信连同签名最多 {MAX_SMS_CHARACTERS} 个字符，现有 {len(filled)} 个",
                f"an SMS has at most {MAX_SMS_CHARACTERS} characters with its signature, this has {len(filled)}",
            )
        if (used := find(content, templates)) is not None:
            for name, value in params_of(content, used).items():
                _check_variable(name, value, used)
        return self


def accepts_value(name: str, value: str, template: TemplateLimits) -> bool:
    """Return whether a template accepts a value of its variable."""
    try:
        _check_variable(name, value, template)
    except PydanticCustomError:
        return False
    return True


def _check_variable(name: str, value: str, template: TemplateLimits) -> None:
    """Refuse a content that the provider would refuse (docs/providers.md, SMS)."""
    check_value(name, value, template)
    if "【" in value or "】" in value:
        raise content_error("内容不能含【或】（签名专用）", "it must not hold 【 or 】, which mark the signature")
    if not template.links and _LINK.search(value):
        raise content_error("短信变量不能含网址", "a variable of an SMS must not hold a link")


_STAND_IN = StandIn(
    named=(
        ("accounts", ANY, "access_key_id"),
        ("accounts", ANY, "secret_id"),
        ("accounts", ANY, "account_sid"),
        ("accounts", ANY, "endpoint"),
        ("accounts", ANY, "url"),
        ("accounts", ANY, "use"),
    ),
    settings={
        "accounts": {
            "aliyun": {
                "access_key_id": "LTAI-imsg-sandbox",
                "access_key_secret": Secret("sms_access_key_secret"),
                "hook_secret": Secret("sms_hook_secret"),
                "endpoint": At("/sandbox/aliyun/"),
                "sign_name": "天存",
                "template": "SMS_100000001",
                "variable": "content",
                "templates": {
                    "SMS_100000001": {
                        "text": "您有一条新通知：${content}，请及时查看。",
                        "variables": {"content": None},
                    },
                    "SMS_100000002": {
                        "text": "您的验证码为${code}，五分钟内有效，请勿告诉他人。",
                        "variables": {"code": 6},
                    },
                    "SMS_100000003": {
                        "text": "${name}您好，您预约的${time}已确认。",
                        "variables": {"name": 20, "time": 20},
                    },
                },
            }
        }
    },
)

_SENT_BY_TEMPLATE = ("SIGN_NAME", "TEMPLATE", "VARIABLE", "VARIABLE_CHARACTERS", "HOOK_SECRET")

_ACCOUNTS: Mapping[str, tuple[str, ...]] = {
    "ALIYUN": ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "TEMPLATES", *_SENT_BY_TEMPLATE),
    "TENCENT": ("SECRET_ID", "SECRET_KEY", "APP_ID", "PULL", *_SENT_BY_TEMPLATE),
    "VOLCENGINE": ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SMS_ACCOUNT", *_SENT_BY_TEMPLATE),
    "TWILIO": ("ACCOUNT_SID", "AUTH_TOKEN", "KEY_SID", "KEY_SECRET", "SENDER", "MESSAGING_SERVICE_SID"),
}
"""Kind of account → settings that the sandbox reads too; in containers the account has the name of its kind."""

SMS = ChannelSpec(
    name="sms",
    titles=BilingualText("短信", "SMS"),
    icon="sms",
    address=Address(
        addresses.phone,
        label=BilingualText("手机号", "phone number"),
        error=BilingualText(
            "不是电话号码：应为 11 位手机号或+开头的国际号码",
            "it is no phone number: 11 digits of mainland China, or an international one beginning with +",
        ),
        is_dialled=True,
    ),
    content=SmsContent,
    content_zh="填入默认模板的一段文字，或模板及其变量。",
    lifetime=timedelta(hours=1),
    chunk_size=1_000,
    to=BilingualText(
        "发送到手机号（E.164，或中国大陆的 11 位手机号），或用户名对应的用户。",
        "To phone numbers (E.164, or mainland China's 11 digits), and users by their names.",
    ),
    example={"to": "13800138000", "content": "明天下雨"},
    code_example={"to": "13800138000", "content": "482913"},
    deployment=Deployment(
        settings=(
            "PROVIDERS",
            "OPT_OUT",
            "OPT_IN",
            "UNCERTAIN",
            *(f"ACCOUNTS__{name}__ENDPOINT" for name in _ACCOUNTS),
            *(f"ACCOUNTS__{name}__COUNTRIES" for name in _ACCOUNTS),
            "ACCOUNTS__TENCENT__REGION",
            "ACCOUNTS__VOLCENGINE__REGION",
            "ACCOUNTS__TWILIO__SIGNING_KEY",
            "ACCOUNTS__TWILIO__SIGNATURE",
            "ACCOUNTS__TWILIO__SUFFIX",
            "ACCOUNTS__TWILIO__HOOK_SECRET",
            "TEMPLATES",
            *(f"ACCOUNTS__{account}__{name}" for account, names in _ACCOUNTS.items() for name in names),
        ),
        literals=(
            "ACCOUNTS__ALIYUN__ACCESS_KEY_ID=",
            "ACCOUNTS__ALIYUN__ACCESS_KEY_SECRET={sms_access_key_secret}",
            "ACCOUNTS__ALIYUN__SIGN_NAME=",
            "ACCOUNTS__ALIYUN__TEMPLATE=",
            "ACCOUNTS__ALIYUN__VARIABLE=content",
            "ACCOUNTS__ALIYUN__HOOK_SECRET={sms_hook_secret}",
        ),
        secrets=("sms_access_key_secret", "sms_hook_secret"),
    ),
    contact="phone",
    sender="signature",
    has_templates=True,
    has_hooks=True,
    segments=segments.count,
    receipts=frozenset({Status.DELIVERED, Status.FAILED}),
    keeps_removed_accounts=True,
    reaches_at="delivered",
    stand_in=_STAND_IN,
    redis_keys=("imsg:sms:*",),
)
