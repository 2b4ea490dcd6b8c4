"""The settings of the SMS channel, checked at start."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from imsg_channels.sms_templates import SmsTemplate
from imsg_delivery.channel import Uncertain
from imsg_delivery.routes import Route, check_categories, split_categories
from imsg_runtime.settings import Common, Strings, variable
from imsg_sms.countries import ANYWHERE, MAINLAND, Countries, read_codes
from imsg_sms.http_settings import Http, Url
from imsg_sms.opt_out import BACK, WORDS, is_opt_out

ALIYUN_ENDPOINT = "https://dysmsapi.aliyuncs.com/"
TENCENT_ENDPOINT = "https://sms.tencentcloudapi.com/"
VOLCENGINE_ENDPOINT = "https://sms.volcengineapi.com/"
TWILIO_ENDPOINT = "https://api.twilio.com/"

PROVIDERS = ("aliyun", "tencent", "volcengine", "twilio", "http")
"""The providers there are, in the order in which they are tried where none is given: each is a module in `providers/`,
its settings here, and its name."""


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
    countries: Countries = (MAINLAND,)
    """Whose numbers its templates are approved for; no other number is ever given to it."""
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
    countries: Countries = (ANYWHERE,)
    """Whose numbers it is given; Twilio itself takes every country's."""
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


def _is_known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in PROVIDERS:
            raise ValueError(f"names {name}, which is no provider; there are {', '.join(PROVIDERS)}")
    if len(set(names)) != len(names):
        raise ValueError("names a provider twice")
    return names


def _is_prefixes(text: str) -> str:
    read_codes(_split(text))
    return text


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class SmsRoute(BaseModel):
    """What a provider is used for. Of several conditions each has to hold; with any it comes before those without."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: Annotated[int, Field(ge=0, le=1_000)] | None = None
    """Its share beside the others'; 0: only where those say not now. Default: 1 of the first provider, 0 of others."""
    numbers: Annotated[str, AfterValidator(_is_prefixes)] = ""
    """What numbers begin with, with commas between: `+86`, `+852`; empty, here and below: any."""
    templates: str = ""
    categories: Annotated[str, AfterValidator(check_categories)] = ""

    def of(self, name: str, place: int) -> Route:
        """Make the route of the provider at this place of the order."""
        return Route(
            name,
            int(place == 0) if self.weight is None else self.weight,
            prefixes=read_codes(_split(self.numbers)),
            templates=frozenset(_split(self.templates)),
            categories=split_categories(self.categories),
        )


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
    routes: dict[str, SmsRoute] = {}
    """Provider → what it is used for, and its weight."""
    uncertain: Uncertain = "stop"
    opt_out: Strings = WORDS
    """What a person who wants no more messages writes back."""
    opt_in: Strings = BACK
    """What a person who wants them again writes back."""

    @model_validator(mode="after")
    def _tells_words_apart(self) -> "Sms":
        """Refuse a word that asks for both. Raises ValueError."""
        if both := [word for word in self.opt_in if is_opt_out(word, self.opt_out)]:
            raise ValueError(f"{both[0]} can't stand in opt_in and opt_out; take it out of one of them")
        return self

    @property
    def provider_routes(self) -> dict[str, Route]:
        """What each provider is used for."""
        return {name: self.routes.get(name, SmsRoute()).of(name, place) for place, name in enumerate(self.order)}

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
        if strays := sorted(set(self.routes) - set(self.order)):
            raise ValueError(f"{variable('sms', 'routes')} names {', '.join(strays)}, which is not used")
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
