"""Settings that services share, where their values come from, and the one line that names a wrong value."""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from imsg_channels import CHANNELS
from imsg_runtime import redis_address
from imsg_runtime.lines import Line, fill

PREFIX = "IMSG_"
NESTED = "__"


class StartError(Exception):
    """The process can't start: its text is one line that names the setting and the remedy. Exit code 2."""

    def __init__(self, words: str, *values: object) -> None:
        """Fill the values into the words, which have `{0}`, `{1}` in their places."""
        self.line = fill(words, *values)
        super().__init__(self.line)


def _split_at_commas(value: object) -> object:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_at_commas)]
"""A list that the environment writes with commas."""

Keys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_at_commas)]
"""Secrets in order: the first signs, all verify, so that a key can be changed without a gap."""


def _check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(fill("is no time zone of the IANA database, such as Asia/Shanghai")) from error
    return value


TimeZone = Annotated[str, AfterValidator(_check_zone)]


def _redis_url(value: str) -> str:
    if value:
        redis_address.read(value)
    return value


RedisUrl = Annotated[str, AfterValidator(_redis_url)]
"""The URL of Redis; empty where none is needed."""


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise ValueError(fill("{0} is neither an address nor a network such as 10.0.0.0/8", network)) from error
    return value


HOLDS_SECRETS = "holds secrets"
"""Marks a model's field, by `Annotated`, whose text may contain secrets."""

Networks = Annotated[Strings, AfterValidator(_networks)]
"""Addresses and networks, as `ipaddress.ip_network` reads them."""


CALLERS = ("gateway", "callbacks", "scheduler", *(channel.service for channel in CHANNELS if channel.calls_history))
"""The services that call others."""


class PeerKeys(BaseModel):
    """The keys of the services that may call this one; none: all services share one key."""

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, Keys]

    @model_validator(mode="after")
    def _are_of_callers(self) -> "PeerKeys":
        for service in self.by_service():
            if service not in CALLERS:
                raise ValueError(fill("names {0}, which calls nobody; there are {1}", service, ", ".join(CALLERS)))
        return self

    def by_service(self) -> dict[str, tuple[SecretStr, ...]]:
        """Return the keys that are set: the service's name → its keys."""
        return {name.replace("_", "-"): keys for name, keys in self.__pydantic_extra__.items() if keys}


class Common(BaseSettings):
    """The settings of every service: environment over `.env` over `imsg.toml` (`IMSG_CONFIG` names another file)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    broker_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    """The broker: `amqp://` or `amqps://` for RabbitMQ, with one host or several, `redis://` for Redis Streams. It may
    hold a password."""
    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    """Redis, for limits, claims and tokens. It needs the append-only file and `noeviction`, and may hold a password."""
    service_key: Keys = ()
    """Opens a service to the services that call it. The first key signs, all verify."""
    erasure_key: Keys = ()
    """The key of the digests by which iMSG knows erased people and counts caps. Keep it as long as any backup."""
    timezone: TimeZone = "Asia/Shanghai"
    """The time zone of the hours and days of limits, statistics and reports, and of times on the command line."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, AfterValidator(lambda value: _between(value, 1, 65_535))] = 8000
    """The port to listen on."""
    public_url: str = ""
    """The URL under which people reach iMSG behind a proxy."""
    trusted_proxies: Networks = ()
    """The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: addresses and networks."""
    allowed_hosts: Strings = ()
    """The host names under which iMSG answers; `*.example.com` allows all below. This machine's own names and that of
    `public_url` are added on loopback. Any other name is answered 421."""
    admin_password: SecretStr | None = None
    """The administrator's first password. Where it is set, no documented account is made."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least level that is logged."""
    log_format: Literal["text", "json"] = "text"
    """The form of a log line: for people, or for machines."""
    no_provider: Literal["stop", "idle"] = "stop"
    """What a sender does without a provider: end with exit code 2, or stay up and report it."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, `.env`, TOML."""
        del file_secret_settings
        path = os.environ.get(f"{PREFIX}CONFIG", "imsg.toml")
        return (
            init_settings,
            env_settings,
            dotenv_settings,
            TomlConfigSettingsSource(settings_cls, Path(path)),
        )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect; a proxy on it may forward others' requests."""
        return is_loopback(self.host)

    @property
    def exposure(self) -> str:
        """The setting by which other machines reach iMSG, as half a sentence; empty without one."""
        if not self.on_loopback:
            return f"{variable('host')} is no loopback address"
        for name in ("public_url", "trusted_proxies", "admin_password"):
            if getattr(self, name):
                return f"{variable(name)} is set"
        return ""

    @property
    def is_exposed(self) -> bool:
        """Whether other machines reach iMSG: then documented passwords are refused and the sandbox is closed."""
        return bool(self.exposure)


class SenderSettings(Common):
    """The settings of every sender."""

    provider_key: Keys = ()
    """Opens the accounts at providers that administrators set up in the web page; auth has the same one for the
    channel. Unset: the sender has the accounts of its settings alone."""
    provider_networks: Networks = ()
    """Your own networks that the addresses of SMS, WeChat and WeCom accounts, and the issuers of tokens, may be in,
    where an account is set up in the web page. Other private networks are refused, but for mail servers and for
    addresses that settings name. No setting allows link-local addresses and those of a cloud's metadata."""
    stand_in: Annotated[bool, Field(exclude=True)] = False
    """Whether the settings of the channel are those of the sandbox: `imsg up` says so."""


def _between(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(fill("must be from {0} to {1}", low, high))
    return value


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


S = TypeVar("S", bound=BaseSettings)


def load(settings: type[S], **given: Any) -> S:  # noqa: ANN401  any field's value, checked by the model
    """Read a service's settings.

    Raises StartError with one line that names each wrong or missing variable and what it wants.
    """
    config = os.environ.get(f"{PREFIX}CONFIG")
    if config and not Path(config).is_file():
        raise StartError(
            "{0}CONFIG names {1}, which is no readable file; correct the path or unset it.", PREFIX, config
        )
    with reading():
        return settings(**given)


def load_without(settings: type[S], group: str, **given: Any) -> S:  # noqa: ANN401  as above
    """Read the settings of a service of which no setting of a group is set: the group is None. Raises StartError."""
    fields: Any = {group: (None, None)}
    return load(create_model(settings.__name__, __base__=settings, **fields), **given)


@contextmanager
def reading() -> Iterator[None]:
    """Raise StartError where settings that are read in the context are malformed or wrong."""
    try:
        yield
    except ValidationError as error:
        complaints = map(_complaint, error.errors())
        raise StartError("{0}.", reduce(partial(fill, "{0}; {1}"), complaints)) from error
    except (ValueError, OSError) as error:
        raise StartError("the settings can't be read: {0}.", error) from error


def is_given(settings: type[Common], group: str) -> bool:
    """Return whether a setting of a group is set, in the environment, `.env` or imsg.toml."""
    return bool(read_group(settings, group))


def read_group(settings: type[Common], group: str) -> dict[str, Any]:
    """Return the settings of a group in the environment, `.env` and imsg.toml, unchecked.

    Raises StartError.
    """
    path = Path(os.environ.get(f"{PREFIX}CONFIG", "imsg.toml"))
    found: dict[str, Any] = {}
    for source in (
        TomlConfigSettingsSource(settings, path),
        DotEnvSettingsSource(settings),
        EnvSettingsSource(settings),
    ):
        with reading():
            part = source().get(group)
        found = _merge(found, part) if isinstance(part, dict) else found
    return found


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        name: _merge(below[name], above[name]) for name in above if _is_table(below, name) and _is_table(above, name)
    }
    return {**below, **above, **both}


def _is_table(group: dict[str, Any], name: str) -> bool:
    return isinstance(group.get(name), dict)


def variable(*path: str | int) -> str:
    """Return the environment variable of a field: ('smtp', 'host') → IMSG_SMTP__HOST."""
    return PREFIX + NESTED.join(str(part).upper() for part in path)


def _complaint(problem: Any) -> str:  # noqa: ANN401  pydantic's own error record
    name = variable(*(part for part in problem["loc"] if isinstance(part, str) and part != _OF_A_KEY))
    if problem["type"] == "missing":
        return fill("{0} is not set; set it in the environment, .env or imsg.toml", name)
    complaint = fill("{0}: {1}", name, _find_message(problem))
    return fill("{0} (it is {1})", complaint, repr(problem["input"])) if _may_be_shown(name, problem) else complaint


def _find_message(problem: Any) -> str:  # noqa: ANN401  as above
    """Return the line that a validator of ours raised, or pydantic's text."""
    error = problem.get("ctx", {}).get("error")
    if isinstance(error, ValueError) and error.args and isinstance(error.args[0], Line):
        return error.args[0]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message if message.startswith(PREFIX) else message[0].lower() + message[1:]


def _may_be_shown(name: str, problem: Any) -> bool:  # noqa: ANN401
    """Show a value where none of its kind is a secret; one in the place of a table or a list may be a table of them."""
    secret = ("PASS", "SECRET", "KEY", "TOKEN", "URL", "AUTH", "CREDENTIAL", "SIG", "HTTP", "ENDPOINT", "ROBOT")
    is_scalar = isinstance(problem.get("input"), str | int | float)
    return is_scalar and problem["type"] not in _OF_TABLES and not any(word in name for word in secret)


_OF_A_KEY = "[key]"
"""How pydantic marks an error in a key of a mapping."""

_OF_TABLES = frozenset(
    {"dict_type", "mapping_type", "model_type", "model_attributes_type", "list_type", "tuple_type", "dataclass_type"}
)
