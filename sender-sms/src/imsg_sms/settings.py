"""The settings of the SMS channel, checked at start."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from imsg_channels.sms_templates import SmsTemplate
from imsg_delivery.channel import Uncertain
from imsg_delivery.provider_kinds import FormField, ProviderGroup
from imsg_delivery.routes import Route, check_categories, split_categories, split_list
from imsg_runtime.lines import fill
from imsg_runtime.settings import SenderSettings, Strings, variable
from imsg_sms.account_settings import BY_TEMPLATE, KINDS, MODELS, AnyAccount
from imsg_sms.countries import read_codes
from imsg_sms.opt_out import OPT_IN_WORDS, OPT_OUT_WORDS, is_opt_out

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def _check_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError(fill("names an account twice"))
    return names


def _read_prefixes(text: str) -> tuple[str, ...]:
    return read_codes(tuple(code for part in split_list(text) for code in part.split()))


def _check_prefixes(text: str) -> str:
    _read_prefixes(text)
    return text


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
        FormField(
            "类别",
            "Categories",
            "该账号只发送这些类别的短信，如 notice, marketing。留空：不限。",
            rare=True,
            route=True,
        ),
    ] = ""
    """The account takes these categories alone. Empty: any."""

    def to_route(self, name: str, place: int) -> Route:
        """Return the route of an account; `place` is its index in the order."""
        return Route(
            name,
            int(place == 0) if self.weight is None else self.weight,
            prefixes=_read_prefixes(self.numbers),
            templates=frozenset(split_list(self.templates)),
            categories=split_categories(self.categories),
        )


SenderName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]


class NamedSignature(BaseModel):
    """A signature that a send names, in place of the account's."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")

    signature: Annotated[str, Field(pattern=r"^[^【】\s]{1,64}$")]
    """The approved signature, without 【】."""


class Sms(ProviderGroup, BaseModel):
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
                if not way.id and self._kind(account) in BY_TEMPLATE
            ]:
                raise ValueError(fill("[sms.templates.{0}] gives no id for {1}", name, ", ".join(missing)))
        return self

    def _kind(self, name: str) -> str:
        """Return the kind of an account; the name itself if there is no such account."""
        return self.accounts[name].kind if name in self.accounts else name


class Settings(SenderSettings):
    """The settings of sender-sms."""

    sms: Annotated[Sms, Field(default_factory=dict, validate_default=True)]
