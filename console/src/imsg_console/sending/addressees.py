"""Reading recipients out of whatever somebody types or pastes, and judging each by the method it is to be sent by."""

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from imsg_shared import addresses

METHODS: Mapping[str, Callable[[str], str | None]] = {
    "smtp": addresses.email,
    "sms": addresses.phone,
    "wechat": addresses.tag,
}
"""Method → the normal form of its addresses."""

SLICE = 200
"""Judged before others get the loop."""

MAX_NAME_CHARACTERS = 64


class Kind(Enum):
    """What a text is to a method."""

    ADDRESS = "address"
    NAME = "name"
    """It can be a username: whether it is one, the API knows."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient as written, and as judged."""

    text: str
    key: str
    """Its normal form: two of one key are one recipient."""
    kind: Kind
    why: str = ""
    """What is wrong: a key of `texts/send.py`; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of what was pasted."""

    new: int = 0
    doubled: tuple[str, ...] = ()


class Addressees:
    """The recipients of a message that is being written, in their order, each once."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._kept: dict[str, Addressee] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Addressee]:
        return iter(self._kept.values())

    @property
    def wrong(self) -> list[Addressee]:
        """Those that can't be."""
        return [one for one in self._kept.values() if one.kind is Kind.WRONG]

    @property
    def texts(self) -> list[str]:
        """What to send as `to`."""
        return [one.text for one in self._kept.values()]

    async def add(self, texts: Iterable[str]) -> Added:
        """Add recipients; tell how many are new and which were there already."""
        new, doubled = 0, []
        for number, text in enumerate(texts):
            if number and number % SLICE == 0:
                await asyncio.sleep(0)
            one = judge(text, self.method)
            if one.key in self._kept:
                doubled.append(one.text)
                continue
            self._kept[one.key] = one
            new += 1
        return Added(new, tuple(doubled))

    async def turn(self, method: str) -> Added:
        """Judge all by another method."""
        texts = self.texts
        self.method = method
        self._kept = {}
        return await self.add(texts)

    def remove(self, key: str) -> None:
        """Take one out."""
        self._kept.pop(key, None)

    def remove_wrong(self) -> None:
        """Take out all that can't be."""
        self._kept = {key: one for key, one in self._kept.items() if one.kind is not Kind.WRONG}

    def clear(self) -> None:
        """Take out all."""
        self._kept.clear()

    def mark(self, reasons: Mapping[str, str]) -> int:
        """Mark as wrong what the API has refused: text → reason in its words; return how many were found."""
        found = 0
        for key, one in self._kept.items():
            if one.text in reasons:
                self._kept[key] = Addressee(one.text, key, Kind.WRONG, reasons[one.text])
                found += 1
        return found


def judge(text: str, method: str) -> Addressee:
    """Say what a text is to a method."""
    if (found := _address(text, method)) is not None:
        written, normal = found
        return Addressee(written, normal, Kind.ADDRESS)
    for other in METHODS:
        if other != method and _address(text, other) is not None:
            return Addressee(text, text, Kind.WRONG, f"send.is_{other}")
    if why := _why_no_name(text, method):
        return Addressee(text, text, Kind.WRONG, why)
    return Addressee(text, text, Kind.NAME)


def read(text: str, method: str) -> list[str]:
    """Cut what was typed or pasted into recipients, whatever stands between them."""
    table = [line.split("\t") for line in text.splitlines()]
    if len(table) > 1 and any(len(row) > 1 for row in table):  # copied out of a spreadsheet
        column = best_column(table, method)
        if column is not None:
            rows = table if any(is_address(cell, method) for cell in table[0]) else table[1:]  # less their heading
            return [one for row in rows if column < len(row) for one in _people(row[column], method)]
    found: list[str] = []
    for piece in _SEPARATORS.split(_QUOTED_NAME.sub("", text)):
        found += _people(piece, method)
    return found


def best_column(rows: Sequence[Sequence[str]], method: str) -> int | None:
    """Return the column in which most cells are addresses of the method; None where there are none anywhere."""
    counts = count_addresses(rows, method)
    return counts.index(max(counts)) if any(counts) else None


def count_addresses(rows: Sequence[Sequence[str]], method: str) -> list[int]:
    """Count each column's addresses."""
    width = max(map(len, rows), default=0)
    return [sum(is_address(row[at], method) for row in rows if at < len(row)) for at in range(width)]


def is_address(text: str, method: str) -> bool:
    """Tell whether a text is an address of the method: as it stands, tidied, or with a name before it."""
    named = _in_brackets(text)
    return _address(named[0] if len(named) == 1 else text, method) is not None


_SEPARATORS = re.compile(r"[,;，；、|\r\n\t\v\f\x85\u2028\u2029]+")
_IN_BRACKETS = re.compile(r"[<＜]([^<>＜＞]+)[>＞]")
_QUOTED_NAME = re.compile(r"\"[^\"\r\n]*\"\s*(?=[<＜])")
"""A display name that may hold separators itself: `"Li, Si" <li@example.com>`."""
_QUOTES = "\"'“”‘’「」"
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00a0\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""What copying out of a contact card brings along: zero widths, marks of direction, a fixed space."""
_PHONE_FILLING = re.compile(r"[\s().·-]")
_CHINA_PREFIX = re.compile(r"(?:0086|86)(?=1[3-9][0-9]{9}$)")


def _people(piece: str, method: str) -> list[str]:
    """Read what stands between two separators: one recipient as a rule, several where only spaces part them."""
    piece = piece.strip().strip(_UNSEEN).strip()
    if not piece:
        return []
    if named := _in_brackets(piece):
        return [_written(one, method) for one in named]
    bare = piece.strip(_QUOTES).strip()
    if not bare:
        return []
    words = bare.split()
    if len(words) == 1 or _address(bare, method) is not None or all(_address(one, method) is None for one in words):
        return [_written(bare, method)]
    return [_written(one.strip(_QUOTES), method) for one in words if one.strip(_QUOTES)]


def _in_brackets(text: str) -> list[str]:
    """Return what stands in angle brackets, `Li Si <mailto:li@example.com>`, each without what surrounds it there."""
    found = (inner.strip().removeprefix("mailto:").strip() for inner in _IN_BRACKETS.findall(text))
    return [inner for inner in found if inner]


def _written(text: str, method: str) -> str:
    found = _address(text, method)
    return found[0] if found is not None else text


def _address(text: str, method: str) -> tuple[str, str] | None:
    """Return an address as the API takes it, and its normal form; None where the text is none, even tidied."""
    normal = METHODS[method]
    if (found := normal(text)) is not None:
        return text, found
    for tidied in _tidied(text, method):
        if (found := normal(tidied)) is not None:
            return tidied, found
    return None


def _tidied(text: str, method: str) -> Iterator[str]:
    plain = unicodedata.normalize("NFKC", text.strip().strip(_UNSEEN).strip())
    yield plain
    if method == "smtp":
        yield plain.removeprefix("mailto:").strip(_QUOTES).rstrip(".。")
    elif method == "sms":
        yield from _phones(plain)


def _phones(plain: str) -> Iterator[str]:
    """Write a number as contact cards and spreadsheets have it without its filling: `+86 138-0013-8000`."""
    dense = _PHONE_FILLING.sub("", plain.removeprefix("tel:"))
    yield dense
    yield _CHINA_PREFIX.sub("+86", dense)
    if dense.startswith("00"):
        yield f"+{dense[2:]}"


def _why_no_name(text: str, method: str) -> str:
    """Say why a text can't be a username, or is plainly meant for an address; empty where it can."""
    if method == "smtp" and ("@" in text or "＠" in text):
        return "send.bad_email"
    dense = _PHONE_FILLING.sub("", text)
    if method == "sms" and (dense.startswith("+") or (dense.isdecimal() and len(dense) >= 10)):  # noqa: PLR2004
        return "send.bad_phone"
    if not text or len(text) > MAX_NAME_CHARACTERS:
        return "send.too_long"
    if any(letter in ":/" or unicodedata.category(letter) == "Cc" for letter in text):
        return "send.no_name"
    return ""
