"""Senders and reply-to addresses of mail, parsed from the settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from imsg_contract import addresses

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')

MAX_NAME_CHARACTERS = 128
"""Of a display name; longer ones are a mistake, and clients cut them anyway."""


@dataclass(frozen=True, slots=True)
class Sender:
    """An address mail comes from: its display name (may be empty) and its normal form, which is ASCII."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What stands behind the @: the domain of Message-IDs, and the name we greet servers with."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Choice:
    """A sender that a send may name, and the usernames that may; empty: all."""

    sender: Sender
    users: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Senders:
    """All senders and reply-to addresses that are set."""

    default: Sender
    named: Mapping[str, Choice] = field(default_factory=dict)
    reply_to: Mapping[str, Sender] = field(default_factory=dict)

    def find(self, name: str | None, username: str) -> Sender | str:
        """Find a sender; a sentence where there is none of that name or this user may not send by it."""
        if name is None:
            return self.default
        choice = self.named.get(name)
        if choice is None:
            return f"There is no sender {name}; {_list(self.named)}."
        if choice.users and username not in choice.users:
            return (
                f"{username} may not send by the sender {name}; IMSG_SMTP__SENDERS__{name.upper()}__USERS says who may."
            )
        return choice.sender

    def find_reply_to(self, name: str | None) -> Sender | str | None:
        """Find where replies go; None: to the sender."""
        if name is None:
            return None
        return self.reply_to.get(name) or f"There is no reply-to address {name}; {_list(self.reply_to)}."


def _list(names: Mapping[str, object]) -> str:
    return f"there are {', '.join(sorted(names))}" if names else "none is set"


def parse(text: str) -> Sender:
    """Read `noreply@example.com` or `天存 <noreply@example.com>`.

    Raises ValueError with what is wrong and what is wanted.
    """
    if not text.isprintable():
        raise ValueError("may not hold control characters or line breaks")
    name, written = _parts(text.strip())
    address = addresses.email(written)
    if address is None:
        raise ValueError("is no e-mail address; write noreply@example.com, or 天存 <noreply@example.com>")
    if not address.isascii():
        raise ValueError(
            "must be ASCII before the @, since few mail servers take another sender; choose such an address"
        )
    if len(name) > MAX_NAME_CHARACTERS:
        raise ValueError(f"has a name of more than {MAX_NAME_CHARACTERS} characters; shorten it")
    return Sender(name, address)


def _parts(text: str) -> tuple[str, str]:
    """Part a display name from an address in angle brackets; a text without them, or with more, is all address."""
    before, bracket, inner = text.removesuffix(">").rpartition("<")
    name = before.strip()
    if not bracket or not text.endswith(">"):
        return "", text
    if _QUOTED.fullmatch(name):
        return re.sub(r"\\(.)", r"\1", name[1:-1]), inner.strip()
    return ("", text) if any(letter in '"<>' for letter in name) else (name, inner.strip())
