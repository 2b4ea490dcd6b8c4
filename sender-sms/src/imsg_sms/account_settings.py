"""The settings of an account, by the kind of its provider."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from imsg_delivery.provider_kinds import FormField
from imsg_runtime.lines import fill
from imsg_sms.countries import ANYWHERE, MAINLAND, Countries
from imsg_sms.http_settings import Http, Url

ALIYUN_ENDPOINT = "https://dysmsapi.aliyuncs.com/"
TENCENT_ENDPOINT = "https://sms.tencentcloudapi.com/"
VOLCENGINE_ENDPOINT = "https://sms.volcengineapi.com/"
TWILIO_ENDPOINT = "https://api.twilio.com/"

KINDS = ("aliyun", "tencent", "volcengine", "twilio", "http")
"""The kinds of providers, in the order in which they are tried by default. Each has a module in `providers/`, and its
settings here."""


class Template(BaseModel):
    """A template that the provider approved."""

    model_config = ConfigDict(frozen=True)

    text: str = ""
    """The text with `${variable}`. With it, segments are counted exactly."""
    variables: Mapping[str, int | None] = {}
    """Name → the most characters of the variable; None: no limit of its own."""
    links: bool = False


class Account(BaseModel):
    """The common settings of accounts that send by approved templates."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    sign_name: Annotated[
        str,
        Field(min_length=1),
        FormField("签名", "Signature", "已审核的签名，与服务商控制台“签名管理”中的一致，不含【】。"),
    ]
    """The approved signature, without 【】."""
    variable: Annotated[
        str,
        Field(min_length=1),
        FormField("自由文本变量", "Variable", "默认模板中填入自由文本的变量。", rare=True),
    ] = "content"
    """The variable of the default template that takes free text."""
    countries: Annotated[
        Countries,
        FormField("国家或地区", "Countries", "模板获准发往哪些国家或地区，写区号，如 +86, +852；* 为全部。", rare=True),
    ] = (MAINLAND,)
    """The country codes that its templates are approved for. No other number is given to the account."""
    hook_secret: Annotated[
        SecretStr | None,
        FormField("回调密钥", "Receipt secret", "接收状态报告的网址的最后一段。未设置则不接收。", rare=True),
    ] = None
    """The last part of the URL for receipts. Without it none are taken."""

    @property
    def hook(self) -> str | None:
        """The last part of the URL for receipts; None: the hook is closed."""
        return self.hook_secret.get_secret_value() if self.hook_secret else None

    @property
    def is_silent(self) -> bool:
        """Whether no way to deliver receipts is set."""
        return self.hook is None


class Aliyun(Account):
    """The account at Alibaba Cloud's SMS service."""

    kind: Literal["aliyun"] = "aliyun"
    """The kind of provider. Unset: the account's name."""
    endpoint: Annotated[Url, FormField("接口地址", "API URL", "服务商接口的网址。", rare=True)] = ALIYUN_ENDPOINT
    """The URL of the provider's API."""
    access_key_id: Annotated[
        str,
        Field(min_length=1),
        FormField(
            "AccessKey ID",
            "AccessKey ID",
            "控制台“访问控制 RAM → 用户”中创建的用户所有，须授权 AliyunDysmsFullAccess。",
        ),
    ]
    """The id of the access key of a user of RAM, who needs AliyunDysmsFullAccess."""
    access_key_secret: Annotated[
        SecretStr, FormField("AccessKey Secret", "AccessKey Secret", "与 AccessKey ID 一同得到，只显示一次。")
    ]
    """The secret of the access key, shown once."""
    template: Annotated[
        str,
        Field(min_length=1),
        FormField(
            "默认模板",
            "Default template",
            "模板 CODE，如 SMS_100000001，在控制台“国内消息 → 模板管理”中。自由文本填入它唯一的变量。",
        ),
    ]
    """The code of the default template, such as SMS_100000001, whose one variable takes free text."""
    templates: dict[str, Template] = {}
    """The approved templates and their limits, best in imsg.toml."""
    variable_characters: Annotated[
        Annotated[int, Field(ge=0)] | None,
        FormField("变量最多字符数", "Characters of a variable", "模板的一个变量最多容纳多少个字符。", rare=True),
    ] = 35
    """How many characters a variable of a template holds."""


class Tencent(Account):
    """The account at Tencent Cloud's SMS service."""

    kind: Literal["tencent"] = "tencent"
    """The kind of provider. Unset: the account's name."""
    endpoint: Annotated[Url, FormField("接口地址", "API URL", "服务商接口的网址。", rare=True)] = TENCENT_ENDPOINT
    """The URL of the provider's API."""
    secret_id: Annotated[
        str, Field(min_length=1), FormField("SecretId", "SecretId", "控制台“访问管理 → API 密钥管理”中的密钥。")
    ]
    """The id of the API key."""
    secret_key: Annotated[SecretStr, FormField("SecretKey", "SecretKey", "与 SecretId 一同得到，只显示一次。")]
    """The secret of the API key, shown once."""
    app_id: Annotated[
        str,
        Field(min_length=1),
        FormField("SDK AppID", "SDK AppID", "短信控制台“应用管理”中应用的 SDK AppID，不是账号的 APPID。"),
    ]
    """The SmsSdkAppId of the application, which is not the account's APPID."""
    region: Annotated[str, Field(min_length=1), FormField("地域", "Region", "服务商的地域。", rare=True)] = (
        "ap-guangzhou"
    )
    """The provider's region."""
    template: Annotated[
        str, FormField("默认模板", "Default template", "默认模板，自由文本填入它唯一的变量。留空：拒绝自由文本。")
    ] = ""
    """The default template, whose one variable takes free text. Empty: free text is refused."""
    variable_characters: Annotated[
        Annotated[int, Field(ge=0)] | None,
        FormField(
            "变量最多字符数",
            "Characters of a variable",
            "模板的一个变量最多容纳多少个字符：2024 年 1 月之后开通的账号为 6。",
            rare=True,
        ),
    ] = 6
    """How many characters a variable of a template holds: 6 for accounts opened after January 2024."""
    pull: Annotated[
        bool,
        FormField(
            "主动拉取状态报告",
            "Fetch receipts",
            "是否用 PullSmsSendStatus 拉取状态报告；须向腾讯云申请开通。",
            rare=True,
        ),
    ] = False
    """Whether receipts are fetched by PullSmsSendStatus, which Tencent enables on request."""

    @property
    def is_silent(self) -> bool:
        """Whether no way to deliver receipts is set."""
        return not self.pull and super().is_silent


class Volcengine(Account):
    """The account at Volcengine's SMS service."""

    kind: Literal["volcengine"] = "volcengine"
    """The kind of provider. Unset: the account's name."""
    endpoint: Annotated[Url, FormField("接口地址", "API URL", "服务商接口的网址。", rare=True)] = VOLCENGINE_ENDPOINT
    """The URL of the provider's API."""
    access_key_id: Annotated[
        str, Field(min_length=1), FormField("AccessKey ID", "AccessKey ID", "控制台“API 访问密钥”中的密钥。")
    ]
    """The id of the API access key."""
    access_key_secret: Annotated[
        SecretStr, FormField("AccessKey Secret", "AccessKey Secret", "与 AccessKey ID 一同得到。")
    ]
    """The secret of the API access key."""
    sms_account: Annotated[str, Field(min_length=1), FormField("消息组", "Message group", "模板所属的消息组。")]
    """The message group that the templates belong to."""
    region: Annotated[str, Field(min_length=1), FormField("地域", "Region", "服务商的地域。", rare=True)] = "cn-north-1"
    """The provider's region."""
    template: Annotated[
        str, FormField("默认模板", "Default template", "默认模板，自由文本填入它唯一的变量。留空：拒绝自由文本。")
    ] = ""
    """The default template, whose one variable takes free text. Empty: free text is refused."""
    variable_characters: Annotated[
        Annotated[int, Field(ge=0)] | None,
        FormField("变量最多字符数", "Characters of a variable", "模板的一个变量最多容纳多少个字符。", rare=True),
    ] = 35
    """How many characters a variable of a template holds."""


class Twilio(BaseModel):
    """The account at Twilio, which sends any words."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    kind: Literal["twilio"] = "twilio"
    """The kind of provider. Unset: the account's name."""
    endpoint: Annotated[Url, FormField("接口地址", "API URL", "服务商接口的网址。", rare=True)] = TWILIO_ENDPOINT
    """The URL of the provider's API."""
    account_sid: Annotated[str, Field(min_length=1), FormField("Account SID", "Account SID", "账号的 SID。")]
    """The account's SID."""
    auth_token: Annotated[SecretStr, FormField("Auth Token", "Auth Token", "账号的 token，Twilio 的回调也用它签名。")]
    """The account's token, which also signs Twilio's callbacks."""
    key_sid: Annotated[
        str, FormField("API Key SID", "API key SID", "API Key 的 SID，代替 token 用于调用。", rare=True)
    ] = ""
    """The SID of an API key, to call with instead of the token."""
    key_secret: Annotated[
        SecretStr | None, FormField("API Key Secret", "API key secret", "该 API Key 的密钥。", rare=True)
    ] = None
    """The secret of that API key."""
    signing_key: Annotated[
        SecretStr | None,
        FormField("签名密钥", "Signing key", "用 HMAC-SHA256 为回调签名的账号所用的共享密钥。", rare=True),
    ] = None
    """The shared key of accounts whose callbacks are signed by HMAC-SHA256."""
    sender: Annotated[str, FormField("发送号码", "Sender", "发送消息的号码（E.164）或名称。")] = ""
    """The number (E.164) or name that messages come from."""
    messaging_service_sid: Annotated[
        str,
        FormField("Messaging Service SID", "Messaging service SID", "代替发送号码的 Messaging Service。", rare=True),
    ] = ""
    """A messaging service, instead of a sender."""
    countries: Annotated[
        Countries,
        FormField("国家或地区", "Countries", "该账号发往哪些国家或地区，写区号，如 +1, +852；* 为全部。", rare=True),
    ] = (ANYWHERE,)
    """The country codes whose numbers the account takes; `*` takes all."""
    signature: Annotated[str, FormField("签名", "Signature", "加在每条文本前面的文字，计入计费条数。", rare=True)] = ""
    """Words before every text, counted with the segments."""
    suffix: Annotated[str, FormField("结尾文字", "Suffix", "加在每条文本后面的文字。", rare=True)] = ""
    """Words after every text."""
    hook_secret: Annotated[
        SecretStr | None,
        FormField("回调密钥", "Receipt secret", "接收状态报告的网址的最后一段。未设置则不接收。", rare=True),
    ] = None
    """The last part of the URL for receipts. Without it none are taken."""

    @property
    def hook(self) -> str | None:
        """The last part of the URL for status callbacks; None: the hook is closed."""
        return self.hook_secret.get_secret_value() if self.hook_secret else None

    @property
    def is_silent(self) -> bool:
        """Whether no way to deliver receipts is set."""
        return self.hook is None

    @model_validator(mode="after")
    def _has_sender(self) -> "Twilio":
        if bool(self.sender) == bool(self.messaging_service_sid):
            raise ValueError(fill("set either its SENDER or its MESSAGING_SERVICE_SID"))
        if bool(self.key_sid) != bool(self.key_secret):
            raise ValueError(fill("set both its KEY_SID and its KEY_SECRET, or neither"))
        return self


AnyAccount = Aliyun | Tencent | Volcengine | Twilio | Http

MODELS: Mapping[str, type[AnyAccount]] = {
    "aliyun": Aliyun,
    "tencent": Tencent,
    "volcengine": Volcengine,
    "twilio": Twilio,
    "http": Http,
}

BY_TEMPLATE = ("aliyun", "tencent", "volcengine")
"""Kinds of providers that send by approved templates only."""
