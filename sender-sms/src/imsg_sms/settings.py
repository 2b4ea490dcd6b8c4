"""The settings of the SMS channel, checked at start."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    field_validator,
    model_validator,
)

from imsg_channels.sms_templates import SmsTemplate
from imsg_delivery.channel import Uncertain
from imsg_delivery.provider_kinds import FormField
from imsg_delivery.routes import Route, check_categories, split_categories
from imsg_runtime.lines import fill
from imsg_runtime.settings import SenderSettings, Strings, variable
from imsg_sms.countries import ANYWHERE, MAINLAND, Countries, read_codes
from imsg_sms.http_settings import Http, Url
from imsg_sms.opt_out import OPT_IN_WORDS, OPT_OUT_WORDS, is_opt_out

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
        FormField("国家或地区", "Countries", "模板获准发送到哪些国家或地区代码。其他号码不会交给该账号。", rare=True),
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
        Countries, FormField("国家或地区", "Countries", "该账号发送到哪些国家或地区代码；`*` 为全部。", rare=True)
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

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def _check_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError(fill("names an account twice"))
    return names


def _check_prefixes(text: str) -> str:
    read_codes(_split(text))
    return text


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class SmsRoute(BaseModel):
    """What an account is used for. Of several conditions each has to hold; with any it comes before those without."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")

    weight: Annotated[int, Field(ge=0, le=1_000)] | None = None
    """The account's share of the messages. 0: only where the others are unavailable. Unset: 1 for the first account, 0
    for the rest."""
    numbers: Annotated[
        str,
        AfterValidator(_check_prefixes),
        FormField(
            "号码开头", "Numbers", "该账号只发给以这些开头的号码，如 +86, +852。留空：不限。", rare=True, route=True
        ),
    ] = ""
    """The account takes numbers that begin so. Empty: any."""
    templates: Annotated[
        str, FormField("模板", "Templates", "该账号只发送这些模板，以逗号隔开。留空：不限。", rare=True, route=True)
    ] = ""
    """The account takes these templates alone. Empty: any."""
    categories: Annotated[
        str,
        AfterValidator(check_categories),
        FormField("类别", "Categories", "该账号只发送这些类别的短信。留空：不限。", rare=True, route=True),
    ] = ""
    """The account takes these categories alone. Empty: any."""

    def to_route(self, name: str, place: int) -> Route:
        """Return the route of an account; `place` is its index in the order."""
        return Route(
            name,
            int(place == 0) if self.weight is None else self.weight,
            prefixes=read_codes(_split(self.numbers)),
            templates=frozenset(_split(self.templates)),
            categories=split_categories(self.categories),
        )


SenderName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]


class NamedSignature(BaseModel):
    """A signature that a send names, in place of the account's."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")

    signature: Annotated[str, Field(pattern=r"^[^【】\s]{1,64}$")]
    """The approved signature, without 【】."""


class Sms(BaseModel):
    """The accounts at providers that carry SMS."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    providers: Annotated[Strings, AfterValidator(_check_distinct)] = ()
    """The accounts in the order in which they are tried. Empty: all, by kind and name."""
    accounts: dict[str, AnyAccount] = {}
    """The accounts at providers, by the name that results, routes, hooks and the web page use."""
    templates: dict[str, SmsTemplate] = {}
    """The logical templates: the words once, and the approved template of each account. Best in imsg.toml."""
    routes: dict[str, SmsRoute] = {}
    """What each account is used for, by its name."""
    senders: dict[SenderName, NamedSignature] = {}
    """The senders that a send may name: each is a signature."""
    uncertain: Uncertain = "stop"
    """What happens to a message whose result is unknown: `repeat` sends it again, `stop` settles it `uncertain`."""
    opt_out: Strings = OPT_OUT_WORDS
    """The words by which a person opts out."""
    opt_in: Strings = OPT_IN_WORDS
    """The words by which a person opts in again."""

    @field_validator("accounts", mode="before")
    @classmethod
    def _read_accounts(cls, accounts: object) -> object:
        """Validate each account by the model of its kind, so that errors name its own fields."""
        if not isinstance(accounts, Mapping):
            return accounts
        validated: dict[str, object] = {}
        for name, account in accounts.items():
            if not _NAME.fullmatch(name):
                raise ValueError(
                    fill("an account can't be called {0}; its name has 1 to 32 of a-z, 0-9, _ and -", name)
                )
            if not isinstance(account, Mapping):
                validated[name] = account
                continue
            kind = account.get("kind", name)
            if not isinstance(kind, str) or kind not in MODELS:
                problem = f"is of the kind {kind}, which there is not" if "kind" in account else "has no kind"
                raise ValueError(
                    fill("the account {0} {1}; set its KIND to one of {2}", name, problem, ", ".join(KINDS))
                )
            if name in MODELS and name != kind:
                raise ValueError(
                    fill("the account {0} is of the kind {1}; call it by no other kind's name", name, kind)
                )
            model: Any = MODELS[kind]
            validated |= TypeAdapter(dict[str, model]).validate_python({name: {**account, "kind": kind}})
        return validated

    @model_validator(mode="after")
    def _has_distinct_words(self) -> "Sms":
        """Refuse a word in both `opt_out` and `opt_in`. Raises ValueError."""
        if both := [word for word in self.opt_in if is_opt_out(word, self.opt_out)]:
            raise ValueError(fill("{0} is in both opt_in and opt_out; remove it from one of them", both[0]))
        return self

    @property
    def provider_routes(self) -> dict[str, Route]:
        """The route of each account in use."""
        return {name: self.routes.get(name, SmsRoute()).to_route(name, place) for place, name in enumerate(self.order)}

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the accounts in use, in the order in which they are tried."""
        return self.providers or tuple(sorted(self.accounts, key=lambda name: (KINDS.index(self._kind(name)), name)))

    @property
    def used(self) -> dict[str, AnyAccount]:
        """The accounts in use, in their order."""
        return {name: self.accounts[name] for name in self.order}

    @property
    def without_hook(self) -> tuple[str, ...]:
        """The accounts whose provider has receipts, but no way to deliver them is set."""
        return tuple(name for name, account in self.used.items() if account.is_silent)

    @model_validator(mode="after")
    def _is_configured(self) -> "Sms":
        if not self.order:
            raise ValueError(
                fill(
                    "no account is configured; set {0} and its companions, or those of {1}, or describe a "
                    "provider under [sms.accounts.http] in imsg.toml",
                    variable("sms", "accounts", "aliyun", "access_key_id"),
                    ", ".join(KINDS[1:-1]),
                )
            )
        for name in self.order:
            if name not in self.accounts:
                raise ValueError(
                    fill(
                        "{0} names {1}, which is no account; there are {2}",
                        variable("sms", "providers"),
                        name,
                        ", ".join(self.accounts) or "none",
                    )
                )
        if unused := sorted(set(self.routes) - set(self.order)):
            raise ValueError(fill("{0} names {1}, which is not used", variable("sms", "routes"), ", ".join(unused)))
        if sum(template.default for template in self.templates.values()) > 1:
            raise ValueError(fill("[sms.templates] has more than one default"))
        for name, template in self.templates.items():
            kinds = {account.kind for account in self.accounts.values()}
            # A kind without an account is allowed; any other unknown name is misspelt.
            if unknown := sorted(set(template.providers) - set(self.accounts) - (set(KINDS) - kinds)):
                raise ValueError(
                    fill(
                        "[sms.templates.{0}] names {1}, which is no account; there are {2}",
                        name,
                        ", ".join(unknown),
                        ", ".join(self.accounts),
                    )
                )
            if missing := [
                account
                for account, way in template.providers.items()
                if not way.id and self._kind(account) in _BY_TEMPLATE
            ]:
                raise ValueError(fill("[sms.templates.{0}] gives no id for {1}", name, ", ".join(missing)))
        return self

    def _kind(self, name: str) -> str:
        """Return the kind of an account; the name itself if there is no such account."""
        return self.accounts[name].kind if name in self.accounts else name


_BY_TEMPLATE = ("aliyun", "tencent", "volcengine")
"""Kinds of providers that send by approved templates only."""


class Settings(SenderSettings):
    """The settings of sender-sms."""

    sms: Annotated[Sms, Field(default_factory=dict, validate_default=True)]
