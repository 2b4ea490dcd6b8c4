"""Misspellings of addresses: invisible characters, full-width forms, quotes, blanks, separators."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

MAX_CHARACTERS = 320
"""The longest text that is examined: the longest address with surrounding characters."""

_FULL_STOPS = str.maketrans({"。": ".", "．": ".", "｡": "."})
_PHONE_SEPARATORS = re.compile(r"[().·\u2010-\u2015-]")
_SIGNS_OF_NO_NAME = frozenset("@:/")

_SPREADSHEET_NUMBER = re.compile(r"[0-9]([.,][0-9]+)?[Ee][+][0-9]+")
"""A phone number in scientific notation, as spreadsheets write it: `1.38E+10`."""
_PREFIXES = ("mailto:", "tel:", "sms:")
_QUOTES = "\"'“”‘’<>＜＞《》"
_PUNCTUATION = ",;.，；、。"


@dataclass(frozen=True, slots=True)
class Spelling:
    """The address that a misspelt text means, and the misspellings in Chinese and English."""

    wanted: str
    zh: str
    en: str


def find(text: str, address: Callable[[str], str | None], *, is_phone: bool) -> Spelling | None:
    """Return the address that a misspelt text means, for an error message; None if there is none.

    `address` parses an address to its normal form, or returns None.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    faults: list[tuple[str, str]] = []
    invisible = sorted(
        {letter for letter in text if unicodedata.category(letter) in ("Cf", "Cc") and letter not in "\t\r\n"}
    )
    if invisible:
        names = " ".join(f"U+{ord(letter):04X}" for letter in invisible[:3])
        faults.append((f"含有看不见的字符（{names}）", f"it holds unseen characters ({names})"))
    visible = "".join(letter for letter in text if letter not in invisible)
    if visible != visible.strip():
        faults.append(("前后有空白", "blanks stand around it"))
    visible = visible.strip()
    narrow = unicodedata.normalize("NFKC", visible.translate(_FULL_STOPS))
    if narrow != visible and not (narrow.split() == visible.split() and narrow.isascii()):
        faults.append(("含有全角字符", "it holds full-width characters"))
    bare = narrow.strip()
    if prefix := next((prefix for prefix in _PREFIXES if bare.lower().startswith(prefix)), ""):
        faults.append((f"带有 {prefix}", f"it begins with {prefix}"))
        bare = bare[len(prefix) :].strip()
    if (inner := bare.strip(_QUOTES).strip(_PUNCTUATION).strip(_QUOTES).strip()) != bare:
        faults.append(("前后有引号、括号或标点", "quotes, brackets or marks stand around it"))
        bare = inner
    if (dense := "".join(bare.split())) != bare:
        faults.append(("中间有空白", "blanks stand inside"))
        bare = dense
    if is_phone:
        bare = _normalize_phone(bare, faults)
    if not faults or address(bare) is None:
        return None
    return Spelling(bare, "、".join(zh for zh, _ in faults), ", ".join(en for _, en in faults))


def is_malformed(text: str) -> bool:
    """Return whether a text can't be a username: it has `@`, `:` or `/`, no letter, or scientific notation."""
    narrow = unicodedata.normalize("NFKC", text)
    if not _SIGNS_OF_NO_NAME.isdisjoint(narrow):
        return True
    return not any(map(str.isalpha, narrow)) or _SPREADSHEET_NUMBER.fullmatch(narrow) is not None


def _normalize_phone(number: str, faults: list[tuple[str, str]]) -> str:
    """Return a phone number without separators and with a + before its country code; append the misspellings."""
    if (dense := _PHONE_SEPARATORS.sub("", number)) != number:
        faults.append(("含有连字符或括号", "hyphens or brackets stand in it"))
    if dense.startswith("00"):
        faults.append(("国际号码要以 + 开头", "an international number begins with +"))
        return f"+{dense[2:]}"
    if dense.startswith("86") and len(dense) == len("8613800138000"):
        faults.append(("国家号前要有 +", "a + stands before the country's code"))
        return f"+{dense}"
    return dense
