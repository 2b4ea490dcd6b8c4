"""What a user may be called, which passwords may be set, and the one spelling of names and contacts."""

import unicodedata
from collections.abc import Mapping

from imsg_auth.tables import MAX_NAME
from imsg_channels import CHANNELS
from imsg_channels.spec import Address
from imsg_channels.spellings import Spelling
from imsg_web.responses import wrong

MAX_LIMIT = 1_000_000
MIN_PASSWORD = 8
MAX_PASSWORD = 256

DOCUMENTED: Mapping[str, str] = {"admin": "123", "天存-system-1001": "123456"}
"""The accounts the interface document prints with their passwords; they work nowhere exposed."""

CONTACTS: Mapping[str, tuple[str, Address]] = {
    channel.name: (channel.contact, channel.address) for channel in CHANNELS if channel.contact is not None
}
"""Method → the contact it sends to, and how that is written; channels without a contact are absent."""

_APART = tuple(channel.address for channel in CHANNELS if channel.address.usernames != "any")
_OF_CONTACT: Mapping[str, Address] = dict(CONTACTS.values())

_NOT_SEEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's bidirectional controls: with them one name can be made to look like another."""


def normal(name: str) -> str:
    """Return a name in Unicode's NFC.

    The same letters come composed from one keyboard and decomposed from another (macOS file names); they are one
    name here, wherever it is given. Beyond that names are exact: case, width and script count.
    """
    return unicodedata.normalize("NFC", name)


def username(text: str) -> str:
    """Check a new user's name and return it in normal form. Raises the sentence for people."""
    name = normal(text)
    if not 1 <= len(name) <= MAX_NAME:
        raise wrong(f"长度应为 1 到 {MAX_NAME} 个字符", f"it must have 1 to {MAX_NAME} characters")
    if any(unicodedata.category(letter) in _NOT_SEEN or letter in _DIRECTIONS for letter in name):
        raise wrong("不能含控制字符", "it must not hold control characters")
    if ":" in name or "/" in name:
        raise wrong("不能含“:”或“/”", "it must not hold a colon or a slash")
    if name in {".", ".."}:  # clients shorten these out of a path: nobody could be reached under them
        raise wrong("不能是“.”或“..”", "it must not be . or ..")
    if any(_reads_as(name, address) for address in _APART):
        raise wrong(
            "不能是邮箱地址、电话号码或微信标记的样子",
            "it must not read as an e-mail address, a phone number or a WeChat tag",
        )
    return name


def lookup_form(text: str) -> str:
    """Return the normal form of a name that somebody asks for; it need not be one that could be registered."""
    return normal(storable(text))


def can_be(name: str) -> bool:
    """Tell whether a user of this name could exist at all, so that the database is not asked for what it can't hold."""
    return 1 <= len(name) <= MAX_NAME and "\0" not in name and _is_unicode(name)


def is_documented(name: str, text: str) -> bool:
    """Tell whether this is the password that the interface document prints for this user."""
    return DOCUMENTED.get(name) == text


def phone(text: str) -> str:
    """Return the normal form of a phone number; empty stays empty (no such contact)."""
    return _contact(text, _OF_CONTACT["phone"])


def email(text: str) -> str:
    """Return the normal form of an e-mail address; empty stays empty."""
    return _contact(text, _OF_CONTACT["email"])


def wechat(text: str) -> str:
    """Return the normal form of a WeChat tag; empty stays empty."""
    return _contact(text, _OF_CONTACT["wechat"])


def recipients_limit(given: object) -> int | str:
    """Check a limit of recipients: an integer, or "none" for no limit. Raises the sentence for people."""
    if given == "none" or (type(given) is int and 0 <= given <= MAX_LIMIT):
        return given
    raise wrong(
        f"应为 0 到 {MAX_LIMIT} 的整数，或“none”（不限）",
        f'it must be an integer from 0 to {MAX_LIMIT}, or "none" for no limit',
    )


def storable(text: str) -> str:
    """Refuse what no database text may hold: U+0000, and lone surrogates, which JSON can write and UTF-8 can't."""
    if "\0" in text:
        raise wrong("不能含 U+0000", "it must not hold U+0000")
    if not _is_unicode(text):
        raise wrong("含有不成对的代理码位，不是合法的 Unicode", "it holds a lone surrogate, which is not valid Unicode")
    return text


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _reads_as(name: str, address: Address) -> bool:
    """Tell whether a name is a contact, or one but for its spelling: `１３８００１３８０００`, `138-0013-8000`."""
    return address.parse(name) is not None or _find_meant(name, address) is not None


def _find_meant(text: str, address: Address) -> Spelling | None:
    return address.misspelt(text) if address.usernames == "apart" else None


def _contact(text: str, address: Address) -> str:
    if not text:
        return text
    found = address.parse(storable(text))
    if found is not None:
        return found
    if meant := _find_meant(text, address):
        raise wrong(f"{meant.zh}，请写成 {meant.wanted}", f"{meant.en}; write {meant.wanted}")
    raise wrong(address.none.zh, address.none.en)
