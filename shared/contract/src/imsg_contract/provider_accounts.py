"""The messages between auth and the senders on accounts at providers: sealed, through Redis."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

MIRROR, CALLS, ANSWERS = "mirror", "calls", "answers"
"""What a text is sealed for: it can't be opened for another use."""

PURPOSE = "provider accounts"

TRANSIENT = frozenset({"unreachable", "timeout", "busy"})
"""The codes of problems that may be over in a minute."""

CALL_VALID_S = 60
"""How long a call waits for a sender, and its answer for auth."""


class ProviderAccount(BaseModel):
    """An account at a provider, as an administrator set it up."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    settings: Mapping[str, Any]


class NamedSender(BaseModel):
    """A sender that a request may name: an address for mail, a signature for SMS."""

    model_config = ConfigDict(frozen=True)

    name: str
    address: str = ""
    """`noreply@example.com`, or with a name before it; empty: it is a signature."""
    reply_to: str | None = None
    signature: str | None = None
    """In place of the account's, without 【】."""


class ProviderMirror(BaseModel):
    """All accounts and senders of a channel that are set up in auth."""

    model_config = ConfigDict(frozen=True)

    accounts: tuple[ProviderAccount, ...] = ()
    senders: tuple[NamedSender, ...] = ()
    former: tuple[ProviderAccount, ...] = ()
    """Accounts as they were in the last 7 days, removed ones too: late receipts come by their secrets."""


class ProviderCall(BaseModel):
    """What auth asks a sender about an account or a domain; any sender of the channel answers."""

    model_config = ConfigDict(frozen=True)

    what: Literal["validate", "check", "signatures", "templates", "dns", "signature"]
    name: str
    """The account's name; for `dns` a sender's domain, empty for the default sender's; for `signature` its text."""
    accounts: tuple[ProviderAccount, ...]
    """All accounts as they would be."""
    english: bool = False
    """The language of the answer to `dns`."""
    at: float
    """When it was made, Unix seconds."""


class ProviderTrouble(BaseModel):
    """A problem of an account and its remedy, in both languages."""

    model_config = ConfigDict(frozen=True)

    code: str
    zh: str
    en: str
    remedy_zh: str = ""
    remedy_en: str = ""
    is_unsure: bool = False
    """Whether the provider did not say what it was asked: it may be well. It is shown, and asks for no attention."""


class Attention(BaseModel):
    """A problem of an account that an administrator has to solve."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    trouble: ProviderTrouble


class AccountState(BaseModel):
    """The result of the last check of an account, as senders record it."""

    model_config = ConfigDict(frozen=True)

    at: float
    """Unix seconds."""
    digest: str
    """Of the account's settings."""
    found: tuple[Attention, ...] = ()
    is_of_sends: bool = False
    """Whether the problem was found by refused messages: the provider's check did not report it."""


class Words(BaseModel):
    """A text in both languages."""

    model_config = ConfigDict(frozen=True)

    zh: str
    en: str


Review = Literal["approved", "reviewing", "rejected", "withdrawn", "unknown"]
Filing = Literal["filed", "filing", "unfiled", "failed", "lapsed"]
"""Of a signature with the carriers; the worst of them counts."""


class ProviderEntry(BaseModel):
    """A signature or a template, as its provider reports it."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    variables: tuple[str, ...] = ()
    review: Review
    filing: Filing | None = None
    reason: Words | None = None


DnsVerdict = Literal["good", "missing", "wrong", "unknown"]


class DnsRecord(BaseModel):
    """A DNS record of a sender's domain: its wanted value, and the values found."""

    model_config = ConfigDict(frozen=True)

    record: str
    """Such as `SPF`, or `DKIM s1`."""
    type: Literal["MX", "TXT", "PTR"]
    name: str | None
    """The DNS name that holds it."""
    wanted: str | None
    found: tuple[str, ...]
    verdict: DnsVerdict
    why: str
    remedy: str | None


class ReceiverVerdict(BaseModel):
    """What a receiver does with the domain's mail."""

    model_config = ConfigDict(frozen=True)

    receiver: str
    verdict: str


class SenderDns(BaseModel):
    """The DNS records of a sender's domain, and those it needs."""

    model_config = ConfigDict(frozen=True)

    domain: str
    records: tuple[DnsRecord, ...]
    receivers: tuple[ReceiverVerdict, ...]


class Remark(BaseModel):
    """What is wrong with a signature at an account."""

    model_config = ConfigDict(frozen=True)

    provider: str
    trouble: ProviderTrouble


class ProviderCheck(BaseModel):
    """A sender's answer: the errors of fields, else the provider's answer."""

    model_config = ConfigDict(frozen=True)

    errors: tuple[Mapping[str, Any], ...] = ()
    """Pydantic's errors (`loc`, `type`, `msg`, `ctx`) of the account's settings."""
    is_taken: bool = False
    """Whether an account in the settings has the name."""
    trouble: ProviderTrouble | None = None
    """Why the provider refuses the account; None: it accepts it."""
    entries: tuple[ProviderEntry, ...] | None = None
    """The signatures or templates that were asked for; None: the provider has no call for them."""
    dns: SenderDns | None = None
    """The records of the domain that was asked for."""
    remarks: tuple[Remark, ...] = ()
    """The problems of the signature that was asked for, by account."""


class KindField(BaseModel):
    """A field of an account."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: Words
    help: Words
    type: Literal["text", "number", "boolean", "choice", "list", "table"]
    choices: tuple[str, ...] = ()
    secret: bool = False
    required: bool = False
    rare: bool = False
    """Whether few need it: the form shows it after the others."""
    route: bool = False
    """Whether it restricts what the account is used for: the API shows it in `routes`."""
    key: str = ""
    """The field's key in the account; empty: its name."""
    group: Words | None = None
    """The title below which the form shows it; None: the form's own."""
    when: Mapping[str, tuple[str, ...]] = {}
    """Other fields → the values with which it has a meaning; empty: always."""
    default: Any = None


class Preset(BaseModel):
    """Settings that fit a well-known provider, with a hint."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: Words
    settings: Mapping[str, Any]
    help: Words


class SetUp(BaseModel):
    """What to enter at the provider; `{name}` and `{FIELD}` stand for the account's name and fields."""

    model_config = ConfigDict(frozen=True)

    title: Words
    value: str
    when: Mapping[str, tuple[str, ...]] = {}
    """Fields → the values with which it is needed; empty: always."""


class Kind(BaseModel):
    """A kind of account, as its sender describes it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    title: Words
    fields: tuple[KindField, ...]
    presets: tuple[Preset, ...] = ()
    setup: tuple[SetUp, ...] = ()


class ShownAccount(BaseModel):
    """An account in a sender's settings, without its secrets."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    settings: Mapping[str, Any]
    simulated: bool = False


class ChannelProviders(BaseModel):
    """What a sender publishes: its kinds of accounts, and the accounts in its settings, without secrets."""

    model_config = ConfigDict(frozen=True)

    kinds: tuple[Kind, ...]
    settings: tuple[ShownAccount, ...] = ()
    senders: tuple[NamedSender, ...] = ()
    """The senders in the settings."""
