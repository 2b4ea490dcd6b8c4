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
from imsg_delivery.routes import Route, check_categories, split_categories
from imsg_runtime.settings import Common, Strings, variable
from imsg_sms.countries import ANYWHERE, MAINLAND, Countries, read_codes
from imsg_sms.http_settings import Http, Url
from imsg_sms.opt_out import BACK, WORDS, is_opt_out

ALIYUN_ENDPOINT = "https://dysmsapi.aliyuncs.com/"
TENCENT_ENDPOINT = "https://sms.tencentcloudapi.com/"
VOLCENGINE_ENDPOINT = "https://sms.volcengineapi.com/"
TWILIO_ENDPOINT = "https://api.twilio.com/"

KINDS = ("aliyun", "tencent", "volcengine", "twilio", "http")
"""The kinds of providers there are, in the order in which they are tried where none is given: each is a module in
`providers/`, and its settings here."""


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

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    sign_name: Annotated[str, Field(min_length=1)]
    """The approved signature, without 【】."""
    variable: Annotated[str, Field(min_length=1)] = "content"
    """The variable of the default template that takes free text."""
    countries: Countries = (MAINLAND,)
    """The country codes that its templates are approved for. No other number is given to the account."""
    hook_secret: SecretStr | None = None
    """The last part of the URL for receipts. Without it none are taken."""

    @property
    def hook(self) -> str | None:
        """Return the last part of the URL for receipts; None: none are taken."""
        return self.hook_secret.get_secret_value() if self.hook_secret else None

    @property
    def is_silent(self) -> bool:
        """Whether the provider could report what became of messages, and may not."""
        return self.hook is None


class Aliyun(Account):
    """The account at Alibaba Cloud's SMS service."""

    kind: Literal["aliyun"] = "aliyun"
    """The kind of provider. Unset: the account's name."""
    endpoint: Url = ALIYUN_ENDPOINT
    """The URL of the provider's API."""
    access_key_id: Annotated[str, Field(min_length=1)]
    """The id of the access key."""
    access_key_secret: SecretStr
    """The secret of the access key."""
    template: Annotated[str, Field(min_length=1)]
    """The default template, whose one variable takes free text."""
    templates: dict[str, Template] = {}
    """The approved templates and their limits, best in imsg.toml."""
    variable_characters: Annotated[int, Field(ge=0)] | None = 35
    """How many characters a variable of a template holds."""


class Tencent(Account):
    """The account at Tencent Cloud's SMS service."""

    kind: Literal["tencent"] = "tencent"
    """The kind of provider. Unset: the account's name."""
    endpoint: Url = TENCENT_ENDPOINT
    """The URL of the provider's API."""
    secret_id: Annotated[str, Field(min_length=1)]
    """The id of the access key."""
    secret_key: SecretStr
    """The secret of the access key."""
    app_id: Annotated[str, Field(min_length=1)]
    """The SmsSdkAppId of the application."""
    region: Annotated[str, Field(min_length=1)] = "ap-guangzhou"
    """The provider's region."""
    template: str = ""
    """The default template, whose one variable takes free text. Empty: free text is refused."""
    variable_characters: Annotated[int, Field(ge=0)] | None = 6
    """How many characters a variable of a template holds: 6 for accounts opened after January 2024."""
    pull: bool = False
    """Whether receipts are fetched by PullSmsSendStatus, which Tencent enables on request."""

    @property
    def is_silent(self) -> bool:
        """Whether Tencent could report what became of messages, and may not."""
        return not self.pull and super().is_silent


class Volcengine(Account):
    """The account at Volcengine's SMS service."""

    kind: Literal["volcengine"] = "volcengine"
    """The kind of provider. Unset: the account's name."""
    endpoint: Url = VOLCENGINE_ENDPOINT
    """The URL of the provider's API."""
    access_key_id: Annotated[str, Field(min_length=1)]
    """The id of the access key."""
    access_key_secret: SecretStr
    """The secret of the access key."""
    sms_account: Annotated[str, Field(min_length=1)]
    """The message group that the templates belong to."""
    region: Annotated[str, Field(min_length=1)] = "cn-north-1"
    """The provider's region."""
    template: str = ""
    """The default template, whose one variable takes free text. Empty: free text is refused."""
    variable_characters: Annotated[int, Field(ge=0)] | None = 35
    """How many characters a variable of a template holds."""


class Twilio(BaseModel):
    """The account at Twilio, which sends any words."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    kind: Literal["twilio"] = "twilio"
    """The kind of provider. Unset: the account's name."""
    endpoint: Url = TWILIO_ENDPOINT
    """The URL of the provider's API."""
    account_sid: Annotated[str, Field(min_length=1)]
    """The account's SID."""
    auth_token: SecretStr
    """The account's token, which also signs Twilio's callbacks."""
    key_sid: str = ""
    """The SID of an API key, to call with instead of the token."""
    key_secret: SecretStr | None = None
    """The secret of that API key."""
    signing_key: SecretStr | None = None
    """The shared key of accounts whose callbacks are signed by HMAC-SHA256."""
    sender: str = ""
    """The number (E.164) or name that messages come from."""
    messaging_service_sid: str = ""
    """A messaging service, instead of a sender."""
    countries: Countries = (ANYWHERE,)
    """The country codes whose numbers the account takes; `*` takes all."""
    signature: str = ""
    """Words before every text, counted with the segments."""
    suffix: str = ""
    """Words after every text."""
    hook_secret: SecretStr | None = None
    """The last part of the URL for receipts. Without it none are taken."""

    @property
    def hook(self) -> str | None:
        """Return the last part of the URL for status callbacks; None: none are taken."""
        return self.hook_secret.get_secret_value() if self.hook_secret else None

    @property
    def is_silent(self) -> bool:
        """Whether Twilio could report what became of messages, and may not."""
        return self.hook is None

    @model_validator(mode="after")
    def _has_sender(self) -> "Twilio":
        if bool(self.sender) == bool(self.messaging_service_sid):
            raise ValueError("set either its SENDER or its MESSAGING_SERVICE_SID")
        if bool(self.key_sid) != bool(self.key_secret):
            raise ValueError("set both its KEY_SID and its KEY_SECRET, or neither")
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


def _are_different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("names an account twice")
    return names


def _is_prefixes(text: str) -> str:
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
    numbers: Annotated[str, AfterValidator(_is_prefixes)] = ""
    """The account takes numbers that begin so. Empty: any."""
    templates: str = ""
    """The account takes these templates alone. Empty: any."""
    categories: Annotated[str, AfterValidator(check_categories)] = ""
    """The account takes these categories alone. Empty: any."""

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
    """The accounts at providers that carry SMS."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    providers: Annotated[Strings, AfterValidator(_are_different)] = ()
    """The accounts in the order in which they are tried. Empty: all, by kind and name."""
    accounts: dict[str, AnyAccount] = {}
    """The accounts at providers, by the name that results, routes, hooks and the web page use."""
    templates: dict[str, SmsTemplate] = {}
    """The logical templates: the words once, and the approved template of each account. Best in imsg.toml."""
    routes: dict[str, SmsRoute] = {}
    """What each account is used for, by its name."""
    uncertain: Uncertain = "stop"
    """What happens to a message whose result is unknown: `repeat` sends it again, `stop` settles it `uncertain`."""
    opt_out: Strings = WORDS
    """The words by which a person opts out."""
    opt_in: Strings = BACK
    """The words by which a person opts in again."""

    @field_validator("accounts", mode="before")
    @classmethod
    def _read_accounts(cls, given: object) -> object:
        """Read each account as its kind wants it, so that a complaint names its own field."""
        if not isinstance(given, Mapping):
            return given
        read: dict[str, object] = {}
        for name, account in given.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"an account can't be called {name}; its name has 1 to 32 of a-z, 0-9, _ and -")
            if not isinstance(account, Mapping):
                read[name] = account
                continue
            kind = account.get("kind", name)
            if not isinstance(kind, str) or kind not in MODELS:
                has = f"is of the kind {kind}, which there is not" if "kind" in account else "has no kind"
                raise ValueError(f"the account {name} {has}; set its KIND to one of {', '.join(KINDS)}")
            if name in MODELS and name != kind:
                raise ValueError(f"the account {name} is of the kind {kind}; call it by no other kind's name")
            model: Any = MODELS[kind]
            read |= TypeAdapter(dict[str, model]).validate_python({name: {**account, "kind": kind}})
        return read

    @model_validator(mode="after")
    def _tells_words_apart(self) -> "Sms":
        """Refuse a word that asks for both. Raises ValueError."""
        if both := [word for word in self.opt_in if is_opt_out(word, self.opt_out)]:
            raise ValueError(f"{both[0]} can't stand in opt_in and opt_out; take it out of one of them")
        return self

    @property
    def provider_routes(self) -> dict[str, Route]:
        """What each account is used for."""
        return {name: self.routes.get(name, SmsRoute()).of(name, place) for place, name in enumerate(self.order)}

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the accounts that are used."""
        return self.providers or tuple(sorted(self.accounts, key=lambda name: (KINDS.index(self._kind(name)), name)))

    @property
    def used(self) -> dict[str, AnyAccount]:
        """The accounts that are used, in their order."""
        return {name: self.accounts[name] for name in self.order}

    @property
    def without_hook(self) -> tuple[str, ...]:
        """The accounts that could report what became of messages, and may not."""
        return tuple(name for name, account in self.used.items() if account.is_silent)

    @model_validator(mode="after")
    def _is_configured(self) -> "Sms":
        if not self.order:
            raise ValueError(
                f"no account is configured; set {variable('sms', 'accounts', 'aliyun', 'access_key_id')} and its "
                f"companions, or those of {', '.join(KINDS[1:-1])}, or describe a provider under [sms.accounts.http] "
                "in imsg.toml"
            )
        for name in self.order:
            if name not in self.accounts:
                raise ValueError(
                    f"{variable('sms', 'providers')} names {name}, which is no account; there are "
                    f"{', '.join(self.accounts) or 'none'}"
                )
        if strays := sorted(set(self.routes) - set(self.order)):
            raise ValueError(f"{variable('sms', 'routes')} names {', '.join(strays)}, which is not used")
        if sum(template.default for template in self.templates.values()) > 1:
            raise ValueError("[sms.templates] has more than one default")
        for name, template in self.templates.items():
            kinds = {account.kind for account in self.accounts.values()}
            # A kind of which there is no account yet may stand there: it is told apart from a misspelt name.
            if unknown := sorted(set(template.providers) - set(self.accounts) - (set(KINDS) - kinds)):
                raise ValueError(
                    f"[sms.templates.{name}] names {', '.join(unknown)}, which is no account; there are "
                    f"{', '.join(self.accounts)}"
                )
            if missing := [
                one for one, way in template.providers.items() if not way.id and self._kind(one) in _BY_TEMPLATE
            ]:
                raise ValueError(f"[sms.templates.{name}] gives no id for {', '.join(missing)}")
        return self

    def _kind(self, name: str) -> str:
        """Return an account's kind; a name that none has is a kind."""
        return self.accounts[name].kind if name in self.accounts else name


_BY_TEMPLATE = ("aliyun", "tencent", "volcengine")
"""Kinds of providers that send by approved templates only."""


class Settings(Common):
    """All that sender-sms reads."""

    sms: Annotated[Sms, Field(default_factory=dict, validate_default=True)]
