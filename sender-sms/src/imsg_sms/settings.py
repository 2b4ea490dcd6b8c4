"""The settings of the SMS channel, checked at start."""

from collections.abc import Mapping
from typing import Annotated, Literal
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

from imsg_delivery.channel import Uncertain
from imsg_runtime.settings import Common, Strings, variable

ALIYUN_ENDPOINT = "https://dysmsapi.aliyuncs.com/"


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


class Aliyun(BaseModel):
    """The account at Alibaba Cloud's SMS service."""

    model_config = ConfigDict(frozen=True)

    endpoint: Url = ALIYUN_ENDPOINT
    access_key_id: Annotated[str, Field(min_length=1)]
    access_key_secret: SecretStr
    sign_name: Annotated[str, Field(min_length=1)]
    """The approved signature, without 【】."""
    template: Annotated[str, Field(min_length=1)]
    """The default template, into whose one variable free text goes."""
    variable: Annotated[str, Field(min_length=1)] = "content"
    templates: dict[str, Template] = {}
    """What is known of templates, the default one included: best in imsg.toml."""
    hook_secret: SecretStr | None = None
    """The last part of the URL for receipts; without it none are taken."""


class Http(BaseModel):
    """Any provider with a plain HTTP API: `[sms.http]` in imsg.toml, described in docs/sms-http.md."""

    model_config = ConfigDict(frozen=True)

    method: Literal["GET", "POST", "PUT"] = "POST"
    url: Url
    headers: Mapping[str, str] = {}
    body: str = ""
    success: str
    """What an answer that means "taken" looks like: `PATH=VALUE` in JSON, `status=200`, or `text=…`."""
    id: str = ""
    """Path of the provider's own id in its JSON answer."""
    secrets: Mapping[str, SecretStr] = {}
    """More placeholders, hidden wherever settings are shown."""
    numbers: Annotated[int, Field(ge=1, le=1_000)] = 1
    """How many numbers one call takes, joined by a comma."""


def _is_known(names: tuple[str, ...]) -> tuple[str, ...]:
    known = ("aliyun", "http")
    for name in names:
        if name not in known:
            raise ValueError(f"names {name}, which is no provider; there are {', '.join(known)}")
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
    http: Http | None = None
    uncertain: Uncertain = "stop"

    @property
    def order(self) -> tuple[str, ...]:
        """The providers that are used."""
        given = {"aliyun": self.aliyun, "http": self.http}
        return self.providers or tuple(name for name, provider in given.items() if provider is not None)

    @model_validator(mode="after")
    def _is_configured(self) -> "Sms":
        if not self.order:
            raise ValueError(
                f"no provider is configured; set {variable('sms', 'aliyun', 'access_key_id')} and its companions, "
                "or describe a provider under [sms.http] in imsg.toml"
            )
        given = {"aliyun": self.aliyun, "http": self.http}
        for name in self.order:
            if given[name] is None:
                raise ValueError(f"{variable('sms', 'providers')} names {name}, of which nothing is set")
        return self


class Settings(Common):
    """All that sender-sms reads."""

    sms: Annotated[Sms, Field(default_factory=dict, validate_default=True)]
