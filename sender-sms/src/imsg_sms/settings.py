"""The settings of the SMS channel, checked at start."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from imsg_channels.sms_templates import SmsTemplate
from imsg_delivery.channel import Uncertain
from imsg_runtime.settings import Common, Strings, variable

ALIYUN_ENDPOINT = "https://dysmsapi.aliyuncs.com/"
TENCENT_ENDPOINT = "https://sms.tencentcloudapi.com/"
VOLCENGINE_ENDPOINT = "https://sms.volcengineapi.com/"
TWILIO_ENDPOINT = "https://api.twilio.com/"

PROVIDERS = ("aliyun", "tencent", "volcengine", "twilio", "http")
"""The providers there are, in the order in which they are tried where none is given: each is a module in `providers/`,
its settings here, and its name."""


def _with_scheme(value: object) -> object:
    """Read `dysmsapi.aliyuncs.com`, as the provider's own documents write it, too."""
    return f"https://{value}" if isinstance(value, str) and value and "://" not in value else value


def _is_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with https:// or http://")
    return value


Url = Annotated[str, BeforeValidator(_with_scheme), AfterValidator(_is_url)]


class Template(BaseModel):
    """A template that was approved by the provider, as far as it is known here."""

    model_config = ConfigDict(frozen=True)

    text: str = ""
    """Its words around `${variable}`: with them segments are counted exactly."""
    variables: Mapping[str, int | None] = {}
    """Name → the most characters the provider lets it have; None: no limit of its own."""
    links: bool = False


class Account(BaseModel):
    """What the accounts of providers that send by approved templates have in common."""

    model_config = ConfigDict(frozen=True)

    sign_name: Annotated[str, Field(min_length=1)]
    """The approved signature, without 【】."""
    variable: Annotated[str, Field(min_length=1)] = "content"
    hook_secret: SecretStr | None = None
    """The last part of the URL for receipts; without it none are taken."""

    @property
    def hook(self) -> str | None:
        """Return the last part of the URL for receipts; None: none are taken."""
        return self.hook_secret.get_secret_value() if self.hook_secret else None


class Aliyun(Account):
    """The account at Alibaba Cloud's SMS service."""

    endpoint: Url = ALIYUN_ENDPOINT
    access_key_id: Annotated[str, Field(min_length=1)]
    access_key_secret: SecretStr
    template: Annotated[str, Field(min_length=1)]
    """The default template, into whose one variable free text goes."""
    templates: dict[str, Template] = {}
    """What is known of templates, the default one included: best in imsg.toml."""
    variable_characters: Annotated[int, Field(ge=0)] | None = 35
    """The most that a variable holds (help.aliyun.com/document_detail/44357.html); less where a template says so."""


class Tencent(Account):
    """The account at Tencent Cloud's SMS service."""

    endpoint: Url = TENCENT_ENDPOINT
    secret_id: Annotated[str, Field(min_length=1)]
    secret_key: SecretStr
    app_id: Annotated[str, Field(min_length=1)]
    """SmsSdkAppId: of the application, not of the account."""
    region: Annotated[str, Field(min_length=1)] = "ap-guangzhou"
    template: str = ""
    """The default template, into whose one variable free text goes; empty: it takes none."""
    variable_characters: Annotated[int, Field(ge=0)] | None = 6
    """Of accounts that were opened after January 2024 (cloud.tencent.com/document/product/382/39023)."""
    pull: bool = False
    """Fetch receipts by PullSmsSendStatus, which Tencent enables on request, instead of having them pushed."""


class Volcengine(Account):
    """The account at Volcengine's SMS service."""

    endpoint: Url = VOLCENGINE_ENDPOINT
    access_key_id: Annotated[str, Field(min_length=1)]
    access_key_secret: SecretStr
    sms_account: Annotated[str, Field(min_length=1)]
    """The message group that the templates belong to."""
    region: Annotated[str, Field(min_length=1)] = "cn-north-1"
    template: str = ""
    """The default template, into whose one variable free text goes; empty: it takes none."""
    variable_characters: Annotated[int, Field(ge=0)] | None = 35
    """Unverified: as at Aliyun, until your account says otherwise."""


class Twilio(BaseModel):
    """The account at Twilio, which sends any words."""

    model_config = ConfigDict(frozen=True)

    endpoint: Url = TWILIO_ENDPOINT
    account_sid: Annotated[str, Field(min_length=1)]
    auth_token: SecretStr
    """Signs what Twilio calls back, too."""
    key_sid: str = ""
    key_secret: SecretStr | None = None
    """An API key to call with instead of the token."""
    signing_key: SecretStr | None = None
    """The shared key of accounts whose callbacks are signed by HMAC-SHA256."""
    sender: str = ""
    """A number of yours (E.164), or a name where the country takes one."""
    messaging_service_sid: str = ""
    """Instead of a sender."""
    signature: str = ""
    """Words before every text, such as 【天存】; counted with the segments."""
    suffix: str = ""
    """Words behind every text."""
    hook_secret: SecretStr | None = None
    """The last part of the URL for status callbacks, with IMSG_PUBLIC_URL; without it none are asked for."""

    @property
    def hook(self) -> str | None:
        """Return the last part of the URL for status callbacks; None: none are taken."""
        return self.hook_secret.get_secret_value() if self.hook_secret else None

    @model_validator(mode="after")
    def _has_sender(self) -> "Twilio":
        if bool(self.sender) == bool(self.messaging_service_sid):
            raise ValueError(
                f"set either {variable('sms', 'twilio', 'sender')} or "
                f"{variable('sms', 'twilio', 'messaging_service_sid')}"
            )
        if bool(self.key_sid) != bool(self.key_secret):
            raise ValueError(
                f"set both {variable('sms', 'twilio', 'key_sid')} and {variable('sms', 'twilio', 'key_secret')}, "
                "or neither"
            )
        return self


class Computed(BaseModel):
    """A placeholder that is computed from others: a digest, a signature, an encoding."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    of: str
    """The text, with placeholders."""
    by: Literal["md5", "sha1", "sha256", "sha512", "hmac-md5", "hmac-sha1", "hmac-sha256", "plain"]
    key: str = ""
    """Of an HMAC, with placeholders."""
    form: Annotated[Literal["hex", "HEX", "base64"], Field(alias="as")] = "hex"


class Trouble(BaseModel):
    """What one code of a described provider means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: Literal["refused", "again", "blocked", "unknown"]
    concerns: Literal["recipient", "content", "template", "signature", "sender", "account", "provider"]
    after_s: Annotated[float, Field(ge=0)] = 0.0
    of_one: bool = False
    """The call is refused whole, though perhaps for one of its numbers."""


class Each(BaseModel):
    """Where an answer says what became of each number of a call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    list: str
    number: str
    code: str
    success: str
    id: str = ""


class HttpReceipts(BaseModel):
    """What a described provider pushes to `/hooks/sms/http/HOOK_SECRET`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["json", "form", "query"]
    field: str = ""
    """The field of a form or a query that holds JSON."""
    list: str = ""
    """The path of the entries; empty: the whole is one, or a list of them."""
    id: str
    number: str
    status: str
    delivered: tuple[str, ...]
    """Values of `status` that mean so; all others mean that it failed."""
    detail: str = ""
    time: str = ""
    answer: str = "OK"


class HttpPull(BaseModel):
    """How the receipts of a described provider are fetched; `receipts` says how they are read, as `json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["GET", "POST"] = "POST"
    url: Url
    body: str = ""
    success: str
    """What an answer that holds receipts, or says that there are none, looks like."""


class Http(BaseModel):
    """Any provider with a plain HTTP API: `[sms.http]` in imsg.toml, described in docs/sms.md."""

    model_config = ConfigDict(frozen=True)

    use: str = ""
    """A description that comes with iMSG; what is given beside it goes before what it says."""
    needs: tuple[str, ...] = ()
    """Secrets without which a description can't be used."""
    method: Literal["GET", "POST", "PUT"] = "POST"
    url: Url
    headers: Mapping[str, str] = {}
    basic: str = ""
    """`USER:PASSWORD` of HTTP's Basic, with placeholders."""
    body: str = ""
    wrap: Literal["", "base64"] = ""
    """How the whole body is encoded before it is sent."""
    charset: Literal["utf-8", "gbk", "gb18030"] = "utf-8"
    """Of the call and of its answer."""
    computed: Mapping[str, Computed] = {}
    """More placeholders, computed in this order."""
    success: str
    """What an answer that means "taken" looks like: `PATH=VALUE` in JSON or XML, `status=200`, or `text=…`."""
    id: str = ""
    """Path of the provider's own id in its answer."""
    code: str = ""
    """Path of the provider's code; `text`: the whole answer."""
    errors: Mapping[str, Trouble] = {}
    """Code → what it means; `*`: any other."""
    each: Each | None = None
    receipts: HttpReceipts | None = None
    pull: HttpPull | None = None
    """Fetch receipts instead of having them pushed: only where the provider hands each out once."""
    hook_secret: SecretStr | None = None
    """The last part of the URL for receipts; without it none are taken."""
    secrets: Mapping[str, SecretStr] = {}
    """More placeholders, hidden wherever settings are shown."""
    numbers: Annotated[int, Field(ge=1, le=1_000)] = 1
    """How many numbers one call takes."""
    separator: str = ","
    """Between them."""
    signature: str = ""
    """Words before every `{text}`, such as 【天存】; counted with the segments."""
    suffix: str = ""
    """Words behind every `{text}`."""

    @model_validator(mode="before")
    @classmethod
    def _is_described(cls, given: object) -> object:
        if not isinstance(given, Mapping) or not given.get("use"):
            return given
        return {**_read_description(str(given["use"])), **given}

    @model_validator(mode="after")
    def _has_secrets(self) -> "Http":
        if missing := [name for name in self.needs if name not in self.secrets]:
            raise ValueError(f"{self.use} needs {', '.join(missing)} under [sms.http.secrets]")
        if self.pull is not None and self.receipts is None:
            raise ValueError("[sms.http.pull] wants [sms.http.receipts] too: how they are read")
        return self

    @property
    def hook(self) -> str | None:
        """Return the last part of the URL for receipts; None: none are taken."""
        return self.hook_secret.get_secret_value() if self.hook_secret and self.receipts else None


def _read_description(name: str) -> dict[str, Any]:
    """Read a description that comes with iMSG. Raises ValueError."""
    folder = resources.files("imsg_sms") / "http_providers"
    known = sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
    if name not in known:
        raise ValueError(f"there is no description called {name}; there are {', '.join(known)}")
    return tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))


def _is_known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in PROVIDERS:
            raise ValueError(f"names {name}, which is no provider; there are {', '.join(PROVIDERS)}")
    if len(set(names)) != len(names):
        raise ValueError("names a provider twice")
    return names


class Sms(BaseModel):
    """The providers that carry SMS. `IMSG_SMS__PROVIDERS` and `[sms] providers` are one setting."""

    model_config = ConfigDict(frozen=True)

    # `firms` is what the setting was called before; `runtime.unknown_settings` warns of it.
    providers: Annotated[
        Strings, AfterValidator(_is_known), Field(validation_alias=AliasChoices("providers", "firms"))
    ] = ()
    """In the order in which they are tried; empty: all that are configured."""
    aliyun: Aliyun | None = None
    tencent: Tencent | None = None
    volcengine: Volcengine | None = None
    twilio: Twilio | None = None
    http: Http | None = None
    templates: dict[str, SmsTemplate] = {}
    """Logical templates: words once, and by which approved template each provider sends them; best in imsg.toml."""
    uncertain: Uncertain = "stop"

    @property
    def given(self) -> tuple[str, ...]:
        """The providers of which something is set."""
        return tuple(name for name in PROVIDERS if getattr(self, name) is not None)

    @property
    def order(self) -> tuple[str, ...]:
        """The providers that are used."""
        return self.providers or self.given

    @property
    def without_hook(self) -> tuple[str, ...]:
        """The providers that could report what became of messages, and may not."""
        return tuple(
            name
            for name in self.order
            if getattr(getattr(self, name), "hook", "") is None
            and not getattr(getattr(self, name), "pull", False)
            and getattr(getattr(self, name), "receipts", True)
        )

    @model_validator(mode="after")
    def _is_configured(self) -> "Sms":
        if not self.order:
            raise ValueError(
                f"no provider is configured; set {variable('sms', 'aliyun', 'access_key_id')} and its companions, "
                f"or those of {', '.join(PROVIDERS[1:-1])}, or describe a provider under [sms.http] in imsg.toml"
            )
        for name in self.order:
            if name not in self.given:
                raise ValueError(f"{variable('sms', 'providers')} names {name}, of which nothing is set")
        if sum(template.default for template in self.templates.values()) > 1:
            raise ValueError("[sms.templates] has more than one default")
        for name, template in self.templates.items():
            if unknown := sorted(set(template.providers) - set(PROVIDERS)):
                raise ValueError(f"[sms.templates.{name}] names {', '.join(unknown)}, which is no provider")
            if missing := [one for one in template.providers if one in _BY_TEMPLATE and not template.providers[one].id]:
                raise ValueError(f"[sms.templates.{name}] gives no id for {', '.join(missing)}")
        return self


_BY_TEMPLATE = ("aliyun", "tencent", "volcengine")
"""Providers that send by approved templates only."""


class Settings(Common):
    """All that sender-sms reads."""

    sms: Annotated[Sms, Field(default_factory=dict, validate_default=True)]
