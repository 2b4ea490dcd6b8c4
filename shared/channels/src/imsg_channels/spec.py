"""The description of a channel, apart from its sender."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel

from imsg_channels import spellings
from imsg_channels.deployment import Deployment
from imsg_channels.spellings import Spelling
from imsg_channels.stand_in import StandIn
from imsg_contract.wire import Status


@dataclass(frozen=True, slots=True)
class Words:
    """A text in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Address:
    """The kind of a channel's addresses."""

    parse: Callable[[str], str | None]
    """Parses an address into its normal form; None where the text is no such address."""
    label: Words
    """Its name inside a sentence: `邮箱地址`, `e-mail address`."""
    none: Words
    """The sentence about a text that is no such address."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Its JSON schema in OpenAPI, beside the length."""
    is_dialled: bool = False
    """It is a number: hyphens, brackets and a missing + are told where it is misspelt."""
    usernames: Literal["apart", "unlike", "any"] = "apart"
    """How usernames keep away from it: none may read as one however it is spelled, none may be one as it stands
    (ordinary words are easily one but for their spelling), or any may: then it is looked for in its own channel only.
    """

    is_malformed: Callable[[str], bool] = spellings.is_malformed
    """Whether a text that is no address was clearly meant as one, and not as a username."""

    def misspelt(self, text: str) -> Spelling | None:
        """Return the address that a misspelt text means; None where it means none, or any word would be one."""
        if self.usernames == "any":
            return None
        return spellings.find(text, self.parse, is_phone=self.is_dialled)


@dataclass(frozen=True, slots=True)
class Segments:
    """The units that a message is charged by."""

    dearest: int
    """The most of one recipient."""
    total: int
    """The sum of all recipients."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One channel: everything that other components know of it."""

    name: str
    """Its method in the API, in queues and in settings; its sender's package is `imsg_NAME`."""
    titles: Words
    icon: str
    """Of Material Symbols, as the console shows it."""
    address: Address
    content: type[BaseModel]
    """Checks `content`, given a `content.Context`, and describes it in the OpenAPI: the one place of its rules."""
    content_zh: str
    """What the content's docstring says, in Chinese."""
    lifetime: timedelta
    """How long a message is tried before it expires."""
    to: Words
    """Whom it reaches, as the interface describes it."""
    example: Mapping[str, Any]
    """A request's `to`, `content` and what else it may hold."""
    code_example: Mapping[str, Any] = field(default_factory=dict)
    """The same of a log-in code, where the channel is one that people log in by."""
    chinese: Mapping[str, str] = field(default_factory=dict)
    """What else its content's schema says → the same in Chinese."""
    request_schema: Mapping[str, Any] = field(default_factory=dict)
    """What OpenAPI says of a request as a whole, where rules span several of its fields."""
    explanations: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    """Its provider's codes in plain words, for the console: Chinese, English, and the key of a remedy."""
    deployment: Deployment | None = None
    """How its sender runs as a container; None: not in the files that come with iMSG."""
    contact: Literal["email", "phone", "wechat"] | None = None
    """Which contact of a user it sends to; None: usernames are nobody here."""
    has_attachments: bool = False
    has_senders: bool = False
    """Whether a send may name who it comes from and where replies go."""
    has_accounts: bool = False
    """Whether official accounts send it, to those who follow them."""
    has_templates: bool = False
    has_markdown: bool = False
    """Whether its content may also be an object `{markdown}`."""
    has_hooks: bool = False
    """Whether its provider calls back, at `/hooks/NAME`."""
    segments: Callable[[str, Sequence[str]], Segments] | None = None
    """Counts what a text to these addresses is charged as; None: it is not charged by length."""
    receipts: frozenset[Status] = frozenset()
    """Statuses that come later, by its provider's receipts."""
    publishes_addresses: bool = False
    """Whether its sender says in Redis which addresses there are: any other is refused at once."""
    asks_history: bool = False
    """Whether its sender asks history for files and for contents too long for the broker, with a key of its own."""
    stand_in: StandIn | None = None
    """What the sandbox plays of its provider; None: nothing."""
    redis_keys: tuple[str, ...] = ()
    """Patterns of keys that its sender writes beside those of every sender."""
    redis_commands: tuple[str, ...] = ()
    """Commands that its sender gives beside those of every sender."""

    @property
    def package(self) -> str:
        """Name the Python package of its sender."""
        return f"imsg_{self.name}"

    @property
    def service(self) -> str:
        """Name its sender, as a service and a host."""
        return f"sender-{self.name}"
