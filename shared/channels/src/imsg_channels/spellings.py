"""What keeps a text from being the address that it is meant as, and how that address is written."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

MAX_CHARACTERS = 320
"""Of a text that is looked at: the longest address, and what may surround it."""

_STOPS = str.maketrans({"。": ".", "．": ".", "｡": "."})
_FILLING = re.compile(r"[().·\u2010-\u2015-]")
_NO_NAMES_SIGNS = frozenset("@:/")

_SPREADSHEET_NUMBER = re.compile(r"[0-9]([.,][0-9]+)?[Ee][+][0-9]+")
"""What a spreadsheet makes of a phone number: `1.38E+10`."""
_PREFIXES = ("mailto:", "tel:", "sms:")
_WRAPS = "\"'“”‘’<>＜＞《》"
_ENDS = ",;.，；、。"


@dataclass(frozen=True, slots=True)
class Spelling:
    """An address that a text was meant as, and what is wrong with the text."""

    wanted: str
    zh: str
    en: str


def find(text: str, address: Callable[[str], str | None], *, is_phone: bool) -> Spelling | None:
    """Find the address of a method that a text is but for its spelling; None where it is none even then.

    Nobody's address is changed in silence: this is what to tell whoever wrote it.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    faults: list[tuple[str, str]] = []
    unseen = sorted(
        {letter for letter in text if unicodedata.category(letter) in ("Cf", "Cc") and letter not in "\t\r\n"}
    )
    if unseen:
        names = " ".join(f"U+{ord(letter):04X}" for letter in unseen[:3])
        faults.append((f"含有看不见的字符（{names}）", f"it holds unseen characters ({names})"))
    seen = "".join(letter for letter in text if letter not in unseen)
    if seen != seen.strip():
        faults.append(("前后有空白", "blanks stand around it"))
    seen = seen.strip()
    narrow = unicodedata.normalize("NFKC", seen.translate(_STOPS))
    if narrow != seen and not (narrow.split() == seen.split() and narrow.isascii()):
        faults.append(("含有全角字符", "it holds full-width characters"))
    bare = narrow.strip()
    if prefix := next((prefix for prefix in _PREFIXES if bare.lower().startswith(prefix)), ""):
        faults.append((f"带有 {prefix}", f"it begins with {prefix}"))
        bare = bare[len(prefix) :].strip()
    if (inner := bare.strip(_WRAPS).strip(_ENDS).strip(_WRAPS).strip()) != bare:
        faults.append(("前后有引号、括号或标点", "quotes, brackets or marks stand around it"))
        bare = inner
    if (dense := "".join(bare.split())) != bare:
        faults.append(("中间有空白", "blanks stand inside"))
        bare = dense
    if is_phone:
        bare = _dense(bare, faults)
    if not faults or address(bare) is None:
        return None
    return Spelling(bare, "、".join(zh for zh, _ in faults), ", ".join(en for _, en in faults))


def is_malformed(text: str) -> bool:
    """Return whether a text was plainly meant as an address, or is nobody's name.

    It holds a sign that no username has (`@`, `:`, `/`, such as a spreadsheet's `#N/A`), no letter, or a phone number
    as a spreadsheet writes it.
    """
    narrow = unicodedata.normalize("NFKC", text)
    if not _NO_NAMES_SIGNS.isdisjoint(narrow):
        return True
    return not any(map(str.isalpha, narrow)) or _SPREADSHEET_NUMBER.fullmatch(narrow) is not None


def _dense(number: str, faults: list[tuple[str, str]]) -> str:
    """Write a number as it is dialled: without its filling, and with a + before its country."""
    if (dense := _FILLING.sub("", number)) != number:
        faults.append(("含有连字符或括号", "hyphens or brackets stand in it"))
    if dense.startswith("00"):
        faults.append(("国际号码要以 + 开头", "an international number begins with +"))
        return f"+{dense[2:]}"
    if dense.startswith("86") and len(dense) == len("8613800138000"):
        faults.append(("国家号前要有 +", "a + stands before the country's code"))
        return f"+{dense}"
    return dense
