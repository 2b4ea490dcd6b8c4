"""The recipients of a message that is being written, each classified for the method of sending."""

import asyncio
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from imsg_channels import BY_NAME, CHANNELS
from imsg_console.recipients.classify_recipient import (
    MAX_NAME_CHARACTERS,
    PHONE_DIGITS,
    choose_key,
    explain,
    find_address,
    is_address,
)
from imsg_console.recipients.recipient_reader import FoundRecipient, IgnoredText, Reading

OTHER_METHODS = tuple(channel.name for channel in CHANNELS if channel.address.usernames != "any")
"""Methods whose addresses cannot be usernames."""

SLICE = 200
"""Recipients that are classified at once; other tasks run in between."""

MAX_IGNORED = 20_000
"""Ignored texts that are kept."""


class Kind(Enum):
    """The class of a text."""

    ADDRESS = "address"
    NAME = "name"
    """It may be a username: the API knows whether it is."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient as it was written, and its class."""

    found: FoundRecipient
    key: str
    """Its normal form: two of one key are one recipient."""
    kind: Kind
    why: str = ""
    """What is wrong: the key of a sentence, or the API's sentence; empty where nothing is."""

    @property
    def text(self) -> str:
        """The recipient as `to` of the API."""
        return self.found.text

    @property
    def label(self) -> str:
        """The text beside it."""
        return self.found.label


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of what was read: `read` is `adopted` and `ignored` together."""

    adopted: int
    ignored: int

    @property
    def read(self) -> int:
        """All texts."""
        return self.adopted + self.ignored


class Recipients:
    """The recipients in their order, each once, and what was read beside them."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._recipients: dict[str, Recipient] = {}
        self._ignored: list[IgnoredText] = []

    def __len__(self) -> int:
        return len(self._recipients)

    def __iter__(self) -> Iterator[Recipient]:
        return iter(self._recipients.values())

    @property
    def wrong(self) -> list[Recipient]:
        """The recipients that are wrong."""
        return [recipient for recipient in self._recipients.values() if recipient.kind is Kind.WRONG]

    @property
    def fine(self) -> list[Recipient]:
        """The recipients that are not wrong."""
        return [recipient for recipient in self._recipients.values() if recipient.kind is not Kind.WRONG]

    @property
    def ignored(self) -> list[IgnoredText]:
        """The texts that are no recipients: headings, rows without an address, duplicates."""
        return list(self._ignored)

    @property
    def counts(self) -> Counts:
        """How much was read, and how much of it is a recipient."""
        wrong = len(self.wrong)
        return Counts(len(self._recipients) - wrong, wrong + len(self._ignored))

    @property
    def texts(self) -> list[str]:
        """The recipients as `to` of the API."""
        return [recipient.text for recipient in self._recipients.values()]

    @property
    def reading(self) -> Reading:
        """Everything as it was read, which `add` takes."""
        return Reading(tuple(recipient.found for recipient in self), tuple(self._ignored))

    async def add(self, reading: Reading) -> None:
        """Add what was read; a duplicate is ignored, and listed so."""
        self._ignored += reading.ignored
        for number, found in enumerate(reading.found):
            if number and number % SLICE == 0:
                await asyncio.sleep(0)
            recipient = classify(found.text, self.method)
            recipient = replace(recipient, found=replace(found, text=recipient.text))
            if recipient.key in self._recipients:
                self._ignored.append(IgnoredText(recipient.text, "send.doubled"))
                continue
            self._recipients[recipient.key] = recipient
        del self._ignored[MAX_IGNORED:]

    async def change_method(self, method: str) -> None:
        """Classify everything for another method."""
        reading = self.reading
        self.method = method
        self.clear()
        await self.add(reading)

    def remove(self, key: str) -> None:
        """Remove a recipient."""
        self._recipients.pop(key, None)

    def remove_wrong(self) -> None:
        """Remove the wrong recipients."""
        self._recipients = {
            key: recipient for key, recipient in self._recipients.items() if recipient.kind is not Kind.WRONG
        }

    def forget(self, ignored: IgnoredText) -> None:
        """Remove an ignored text."""
        if ignored in self._ignored:
            self._ignored.remove(ignored)

    def forget_ignored(self) -> None:
        """Remove the ignored texts."""
        self._ignored = []

    def clear(self) -> None:
        """Remove everything."""
        self._recipients.clear()
        self._ignored = []

    def mark(self, reasons: Mapping[str, str]) -> None:
        """Mark recipients that the API refuses as wrong: text → the reason in the API's words."""
        for key, recipient in self._recipients.items():
            if recipient.text in reasons:
                self._recipients[key] = replace(recipient, kind=Kind.WRONG, why=reasons[recipient.text])


def classify(text: str, method: str) -> Recipient:
    """Classify a text for a method."""
    if (address := find_address(text, method)) is not None:
        written, normal = address
        # One person has one mailbox, whatever the case: the API writes to it once.
        return Recipient(
            FoundRecipient(written), normal.lower() if BY_NAME[method].contact == "email" else normal, Kind.ADDRESS
        )
    for other in OTHER_METHODS:
        if other != method and is_address(text, other):
            return Recipient(
                FoundRecipient(text), text, Kind.WRONG, choose_key(other, f"send.is_{other}", "send.is_of_another")
            )
    if why := explain(text, method) or _why_no_name(text, method):
        return Recipient(FoundRecipient(text), text, Kind.WRONG, why)
    return Recipient(FoundRecipient(text), text, Kind.NAME)


def _why_no_name(text: str, method: str) -> str:
    """Return the key of the sentence why a text is no username; empty where it may be one."""
    if BY_NAME[method].address.is_dialled and text.isdecimal() and len(text) >= min(PHONE_DIGITS):
        return "send.bad_phone"
    if not text or len(text) > MAX_NAME_CHARACTERS:
        return "send.too_long"
    if any(letter in ":/" or unicodedata.category(letter) == "Cc" for letter in text):
        return "send.no_name"
    return "" if any(map(str.isalnum, text)) else "send.no_name"
