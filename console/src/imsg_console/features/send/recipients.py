"""The recipients of a message that is being written, each judged by the method it is to be sent by."""

import asyncio
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from imsg_channels import BY_NAME, CHANNELS
from imsg_console.features.send.judging import (
    MAX_NAME_CHARACTERS,
    PHONE_DIGITS,
    choose_key,
    explain,
    find_address,
    is_address,
)
from imsg_console.features.send.pasting import Found, Ignored, Reading

TELLING = tuple(channel.name for channel in CHANNELS if channel.address.usernames != "any")
"""Methods whose addresses tell by themselves what they are; those of others might be usernames."""

SLICE = 200
"""Judged before others get the loop."""

MAX_IGNORED = 20_000
"""Kept to be shown; more than any list has."""


class Kind(Enum):
    """What a text is to a method."""

    ADDRESS = "address"
    NAME = "name"
    """It can be a username: whether it is one, the API knows."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient as written, and as judged."""

    text: str
    key: str
    """Its normal form: two of one key are one recipient."""
    kind: Kind
    why: str = ""
    """What is wrong: a key of `texts/send.py`, or the API's words; empty where nothing is."""
    label: str = ""
    """Whose it is, as far as was read."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been read, and what became of it: `read` is `adopted` and `ignored` together."""

    adopted: int
    ignored: int

    @property
    def read(self) -> int:
        """How many there were."""
        return self.adopted + self.ignored


class Recipients:
    """The recipients in their order, each once, and what was read beside them."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._kept: dict[str, Recipient] = {}
        self._ignored: list[Ignored] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Recipient]:
        return iter(self._kept.values())

    @property
    def wrong(self) -> list[Recipient]:
        """Those that can't be."""
        return [one for one in self._kept.values() if one.kind is Kind.WRONG]

    @property
    def fine(self) -> list[Recipient]:
        """Those that can."""
        return [one for one in self._kept.values() if one.kind is not Kind.WRONG]

    @property
    def ignored(self) -> list[Ignored]:
        """What was read and is no recipient: headings, rows without an address, duplicates."""
        return list(self._ignored)

    @property
    def counts(self) -> Counts:
        """How much was read, and how much of it is a recipient."""
        wrong = len(self.wrong)
        return Counts(len(self._kept) - wrong, wrong + len(self._ignored))

    @property
    def texts(self) -> list[str]:
        """What to send as `to`."""
        return [one.text for one in self._kept.values()]

    @property
    def reading(self) -> Reading:
        """All of it as it was read, to be added once more."""
        return Reading(tuple(Found(one.text, one.label) for one in self), tuple(self._ignored))

    async def add(self, reading: Reading) -> int:
        """Add what was read; tell how many recipients are new. What was there already is ignored, and said to be."""
        new = 0
        self._ignored += reading.ignored
        for number, found in enumerate(reading.found):
            if number and number % SLICE == 0:
                await asyncio.sleep(0)
            one = replace(judge(found.text, self.method), label=found.label)
            if one.key in self._kept:
                self._ignored.append(Ignored(one.text, "send.doubled"))
                continue
            self._kept[one.key] = one
            new += 1
        del self._ignored[MAX_IGNORED:]
        return new

    async def turn(self, method: str) -> None:
        """Judge all by another method."""
        reading = self.reading
        self.method = method
        self.clear()
        await self.add(reading)

    def remove(self, key: str) -> None:
        """Take one out."""
        self._kept.pop(key, None)

    def remove_wrong(self) -> None:
        """Take out all that can't be."""
        self._kept = {key: one for key, one in self._kept.items() if one.kind is not Kind.WRONG}

    def forget(self, ignored: Ignored) -> None:
        """Forget one of what is no recipient."""
        if ignored in self._ignored:
            self._ignored.remove(ignored)

    def forget_ignored(self) -> None:
        """Forget all that is no recipient."""
        self._ignored = []

    def clear(self) -> None:
        """Take out all."""
        self._kept.clear()
        self._ignored = []

    def mark(self, reasons: Mapping[str, str]) -> int:
        """Mark as wrong what the API has refused: text → reason in its words; return how many were found."""
        found = 0
        for key, one in self._kept.items():
            if one.text in reasons:
                self._kept[key] = replace(one, kind=Kind.WRONG, why=reasons[one.text])
                found += 1
        return found


def judge(text: str, method: str) -> Recipient:
    """Say what a text is to a method."""
    if (found := find_address(text, method)) is not None:
        written, normal = found
        # One person has one mailbox, whatever the case: the API writes to it once.
        return Recipient(written, normal.lower() if BY_NAME[method].contact == "email" else normal, Kind.ADDRESS)
    for other in TELLING:
        if other != method and is_address(text, other):
            return Recipient(text, text, Kind.WRONG, choose_key(other, f"send.is_{other}", "send.is_of_another"))
    if why := explain(text, method) or _why_no_name(text, method):
        return Recipient(text, text, Kind.WRONG, why)
    return Recipient(text, text, Kind.NAME)


def _why_no_name(text: str, method: str) -> str:
    """Say why a text can't be a username, or is no username anybody has; empty where it can."""
    if BY_NAME[method].address.is_dialled and text.isdecimal() and len(text) >= min(PHONE_DIGITS):
        return "send.bad_phone"
    if not text or len(text) > MAX_NAME_CHARACTERS:
        return "send.too_long"
    if any(letter in ":/" or unicodedata.category(letter) == "Cc" for letter in text):
        return "send.no_name"
    return "" if any(map(str.isalnum, text)) else "send.no_name"
