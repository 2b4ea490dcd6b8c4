"""The messages between auth and the senders on accounts at providers: sealed, through Redis."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

MIRROR, CALLS, ANSWERS = "mirror", "calls", "answers"
"""For what a text is sealed: it opens as nothing else."""

PURPOSE = "provider accounts"

TRANSIENT = frozenset({"unreachable", "timeout", "busy"})
"""The codes of troubles that may be gone in a minute."""

CALL_VALID_S = 60
"""How long a call waits for a sender, and its answer for auth."""


class ProviderAccount(BaseModel):
    """An account at a provider, as an administrator set it up."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    settings: Mapping[str, Any]


class NamedSender(BaseModel):
    """A sender that a send may name: of mail an address, of SMS a signature."""

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
    """Of an account; of `dns` the domain of a sender, empty for that of the default one; of `signature` its words."""
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


class Attention(BaseModel):
    """Something about an account that a person has to attend to."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    trouble: ProviderTrouble


class AccountState(BaseModel):
    """What the last look at an account found, as senders record it."""

    model_config = ConfigDict(frozen=True)

    at: float
    """Unix seconds."""
    digest: str
    """Of the account's settings."""
    found: tuple[Attention, ...] = ()
    is_of_sends: bool = False
    """Whether sends were refused for it: the provider's check did not report it."""


class Words(BaseModel):
    """A text in both languages."""

    model_config = ConfigDict(frozen=True)

    zh: str
    en: str


Review = Literal["approved", "reviewing", "rejected", "withdrawn", "unknown"]
Filing = Literal["filed", "filing", "unfiled", "failed", "lapsed"]
"""Of a signature with the carriers; the worst of them counts."""


class ProviderEntry(BaseModel):
    """A signature or a template, as its provider has it."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    variables: tuple[str, ...] = ()
    review: Review
    filing: Filing | None = None
    reason: Words | None = None


DnsVerdict = Literal["good", "missing", "wrong", "unknown"]


class DnsRecord(BaseModel):
    """A DNS record of a sender's domain: what it has to be, and what it is."""

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
    """What DNS says of a sender's domain, and what it has to say."""

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
    """Whether an account of the settings has the name."""
    trouble: ProviderTrouble | None = None
    """Why the provider does not take the account; None: it does."""
    entries: tuple[ProviderEntry, ...] | None = None
    """The signatures or templates that were asked for; None: the provider has no call for them."""
    dns: SenderDns | None = None
    """The records of the domain that was asked for."""
    remarks: tuple[Remark, ...] = ()
    """What accounts say of the signature that was asked for, where something is wrong with it."""


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
    """Whether few need it: the form shows it behind the others."""
    route: bool = False
    """Whether it says what the account is used for: the API has it in `routes`."""
    key: str = ""
    """Under which the account keeps it; empty: its name."""
    default: Any = None


class Preset(BaseModel):
    """Settings that fit a well-known provider, and what to know of it."""

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


class Kind(BaseModel):
    """A kind of account, as its sender describes it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    title: Words
    fields: tuple[KindField, ...]
    presets: tuple[Preset, ...] = ()
    setup: tuple[SetUp, ...] = ()


class ShownAccount(BaseModel):
    """An account of the settings of a sender, without its secrets."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    settings: Mapping[str, Any]
    simulated: bool = False


class ChannelProviders(BaseModel):
    """What a sender publishes: the kinds of accounts that it knows, and those of its settings. It has no secret."""

    model_config = ConfigDict(frozen=True)

    kinds: tuple[Kind, ...]
    settings: tuple[ShownAccount, ...] = ()
    senders: tuple[NamedSender, ...] = ()
    """Those of the settings."""
