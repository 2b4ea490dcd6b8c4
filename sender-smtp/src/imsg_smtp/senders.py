"""Senders and reply-to addresses of mail, parsed from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imsg_contract import addresses


@dataclass(frozen=True, slots=True)
class Sender:
    """The address of a From header: its display name (may be empty) and its normal form, which is ASCII."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """The domain of the address: also that of Message-IDs, and the name in EHLO."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class AllowedSender:
    """A named sender, and the usernames that may use it; empty: all."""

    sender: Sender
    users: frozenset[str] = frozenset()
    reply_to: Sender | None = None
    """Where replies go, unless the send names another."""


@dataclass(frozen=True, slots=True)
class Senders:
    """All configured senders and reply-to addresses."""

    default: Sender
    named: Mapping[str, AllowedSender] = field(default_factory=dict)
    reply_to: Mapping[str, Sender] = field(default_factory=dict)

    def find(self, name: str | None, username: str) -> Sender | str:
        """Return the sender of a name (None: the default), or a sentence that says why this user can't use it."""
        if name is None:
            return self.default
        choice = self.named.get(name)
        if choice is None:
            return f"There is no sender {name}; {_list_names(self.named)}."
        if choice.users and username not in choice.users:
            return (
                f"{username} may not send by the sender {name}; IMSG_SMTP__SENDERS__{name.upper()}__USERS says who may."
            )
        return choice.sender

    def find_reply_to(self, name: str | None, sender: str | None) -> Sender | str | None:
        """Return the reply-to address of a name, or a sentence that there is none; None: replies go to the sender.

        Without a name it is that of the sender.
        """
        if name is None:
            choice = None if sender is None else self.named.get(sender)
            return None if choice is None else choice.reply_to
        return self.reply_to.get(name) or f"There is no reply-to address {name}; {_list_names(self.reply_to)}."


def _list_names(names: Mapping[str, object]) -> str:
    return f"there are {', '.join(sorted(names))}" if names else "none is set"


def parse(text: str) -> Sender:
    """Read `noreply@example.com` or `天存 <noreply@example.com>`.

    Raises ValueError with what is wrong and what is wanted.
    """
    return Sender(*addresses.read_sender(text))
