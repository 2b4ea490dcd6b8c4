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
from imsg_contract.wire import Status, Until

DEFAULT_CHUNK_SIZE = 100
"""The messages of one chunk of a channel that does not say."""


@dataclass(frozen=True, slots=True)
class BilingualText:
    """A text in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Address:
    """The kind of a channel's addresses."""

    parse: Callable[[str], str | None]
    """Parses an address into its normal form; None where the text is no such address."""
    label: BilingualText
    """Its name inside a sentence: `邮箱地址`, `e-mail address`."""
    error: BilingualText
    """The sentence about a text that is no such address."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Its JSON schema in OpenAPI, beside the length."""
    is_dialled: bool = False
    """Whether it is a phone number, in which hyphens, brackets and a missing + are misspellings."""
    parse_named: Callable[[str], str | None] | None = None
    """Parses an address behind a display name, which v2 takes; None where the channel has no such names."""
    usernames: Literal["apart", "unlike", "any"] = "apart"
    """Which usernames are allowed: none that is an address in any spelling (`apart`), none that is an exact address
    (`unlike`), or all (`any`), in which case addresses are looked up in their own channel only.
    """

    is_malformed: Callable[[str], bool] = spellings.is_malformed
    """Whether a text that is no address was clearly meant as one, and not as a username."""

    def read(self, text: str) -> str | None:
        """Parse an address, with or without a display name; None for other text."""
        address = self.parse(text)
        return self.parse_named(text) if address is None and self.parse_named is not None else address

    def find_spelling(self, text: str) -> Spelling | None:
        """Return the address that a misspelt text means; None if it means none, or if `usernames` is `any`."""
        if self.usernames == "any":
            return None
        return spellings.find(text, self.parse, is_phone=self.is_dialled)


@dataclass(frozen=True, slots=True)
class Segments:
    """The units that a message is charged by."""

    dearest: int
    """The highest number of one recipient."""
    total: int
    """The sum of all recipients."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One channel: everything that other components know of it."""

    name: str
    """The method in the API, queues and settings; the sender's package is `imsg_NAME`."""
    titles: BilingualText
    icon: str
    """The name of the icon in Material Symbols."""
    address: Address
    content: type[BaseModel]
    """Checks `content`, given a `content.Context`, and describes it in the OpenAPI: the one place of its rules."""
    content_zh: str
    """The content's docstring in Chinese."""
    lifetime: timedelta
    """How long a message is tried before it expires."""
    to: BilingualText
    """The description of the field `to`."""
    example: Mapping[str, Any]
    """An example of a request's `to`, `content` and optional fields."""
    code_example: Mapping[str, Any] = field(default_factory=dict)
    """An example of a log-in code; empty if the channel sends none."""
    chinese: Mapping[str, str] = field(default_factory=dict)
    """Other English texts of the content's schema → Chinese."""
    request_schema: Mapping[str, Any] = field(default_factory=dict)
    """The JSON schema of a whole request, for rules across its fields."""
    explanations: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    """Its provider's codes in plain words, for the console: Chinese, English, and the key of a remedy."""
    deployment: Deployment | None = None
    """How its sender runs as a container; None: not in the files that come with iMSG."""
    contact: Literal["email", "phone", "wechat"] | None = None
    """The contact of a user that it sends to; None: it does not accept usernames."""
    has_attachments: bool = False
    sender: Literal["address", "signature"] | None = None
    """What a sender of it is, which a request may name: an address, with a default one and addresses for replies, or a
    signature in place of the account's; None: it has no senders."""
    has_accounts: bool = False
    """Whether it sends by official accounts to their followers."""
    has_templates: bool = False
    has_markdown: bool = False
    """Whether its content may also be an object `{markdown}`."""
    has_hooks: bool = False
    """Whether its provider calls back, at `/hooks/NAME`."""
    chunk_size: int = DEFAULT_CHUNK_SIZE
    """How many messages of a request are claimed and sent together, at most 5,000. Never change it while jobs wait: a
    job that is split again would get other chunks, and a cancel would look for other ones.
    """
    segments: Callable[[str, Sequence[str]], Segments] | None = None
    """Counts the segments of a text to these addresses; None: no charge by length."""
    receipts: frozenset[Status] = frozenset()
    """The statuses that receipts of its provider report."""
    keeps_removed_accounts: bool = False
    """Whether an account that is removed is kept for a week: its receipts still arrive, signed with its secrets."""
    reaches_at: Until = "sent"
    """The status at which a leg of a fallback has reached a person, unless the client says otherwise."""
    publishes_addresses: bool = False
    """Whether its sender publishes the valid addresses in Redis; others are refused at once."""
    calls_history: bool = False
    """Whether its sender calls history, with its own key, for files and contents too long for the broker."""
    stand_in: StandIn | None = None
    """Its settings with the sandbox as provider; None: the sandbox has none."""
    redis_keys: tuple[str, ...] = ()
    """Redis key patterns of its sender, beside those of every sender."""
    redis_commands: tuple[str, ...] = ()
    """Redis commands of its sender, beside those of every sender."""

    @property
    def package(self) -> str:
        """The Python package of its sender."""
        return f"imsg_{self.name}"

    @property
    def service(self) -> str:
        """The name of its sender's service and host."""
        return f"sender-{self.name}"
