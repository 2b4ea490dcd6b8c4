"""Rules for usernames and contacts, and their normal forms."""

import unicodedata
from collections.abc import Mapping

from imsg_auth.tables import MAX_NAME
from imsg_channels import CHANNELS
from imsg_channels.spec import Address
from imsg_channels.spellings import Spelling
from imsg_web.responses import field_error

MAX_LIMIT = 1_000_000
MIN_PASSWORD = 8
MAX_PASSWORD = 256

DOCUMENTED: Mapping[str, str] = {"admin": "123", "天存-system-1001": "123456"}
"""The accounts the interface document prints with their passwords; they work nowhere exposed."""

CONTACTS: Mapping[str, tuple[str, Address]] = {
    channel.name: (channel.contact, channel.address) for channel in CHANNELS if channel.contact is not None
}
"""Method → the contact it sends to, and that contact's address type; channels without a contact are absent."""

_READABLE_ADDRESSES = tuple(channel.address for channel in CHANNELS if channel.address.usernames != "any")
_OF_CONTACT: Mapping[str, Address] = dict(CONTACTS.values())

_INVISIBLE = frozenset(("Cc", "Cs", "Zl", "Zp"))
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's bidirectional controls, with which one name can look like another."""


def normal(name: str) -> str:
    """Return a name in Unicode's NFC.

    Keyboards and file systems write the same letters composed or decomposed (macOS); they are one name. Otherwise names
    are exact: case, width and script count.
    """
    return unicodedata.normalize("NFC", name)


def username(text: str) -> str:
    """Check a new user's name and return its normal form. Raises ValueError with the sentence for people."""
    name = normal(text)
    if not 1 <= len(name) <= MAX_NAME:
        raise field_error(f"长度应为 1 到 {MAX_NAME} 个字符", f"it must have 1 to {MAX_NAME} characters")
    if any(unicodedata.category(letter) in _INVISIBLE or letter in _BIDIRECTIONAL for letter in name):
        raise field_error("不能含控制字符", "it must not hold control characters")
    if ":" in name or "/" in name:
        raise field_error("不能含“:”或“/”", "it must not hold a colon or a slash")
    if name in {".", ".."}:  # clients remove these from a path
        raise field_error("不能是“.”或“..”", "it must not be . or ..")
    if any(_reads_as(name, address) for address in _READABLE_ADDRESSES):
        raise field_error(
            "不能是邮箱地址、电话号码或微信标记的样子",
            "it must not read as an e-mail address, a phone number or a WeChat tag",
        )
    return name


def lookup_form(text: str) -> str:
    """Return the normal form of a name in a request, which need not be a valid one."""
    return normal(storable(text))


def is_possible(name: str) -> bool:
    """Return whether a user of this name can exist; the database can't hold others."""
    return 1 <= len(name) <= MAX_NAME and "\0" not in name and _is_unicode(name)


def is_documented(name: str, text: str) -> bool:
    """Return whether this is the password that the interface document prints for this user."""
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


def storable(text: str) -> str:
    """Refuse characters that no database text can hold: U+0000, and lone surrogates."""
    if "\0" in text:
        raise field_error("不能含 U+0000", "it must not hold U+0000")
    if not _is_unicode(text):
        raise field_error(
            "含有不成对的代理码位，不是合法的 Unicode", "it holds a lone surrogate, which is not valid Unicode"
        )
    return text


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _reads_as(name: str, address: Address) -> bool:
    """Return whether a name is an address, also a misspelt one: `１３８００１３８０００`, `138-0013-8000`."""
    return address.parse(name) is not None or _find_misspelling(name, address) is not None


def _find_misspelling(text: str, address: Address) -> Spelling | None:
    return address.find_spelling(text) if address.usernames == "apart" else None


def _contact(text: str, address: Address) -> str:
    if not text:
        return text
    normal_form = address.parse(storable(text))
    if normal_form is not None:
        return normal_form
    if misspelling := _find_misspelling(text, address):
        raise field_error(
            f"{misspelling.zh}，请写成 {misspelling.wanted}", f"{misspelling.en}; write {misspelling.wanted}"
        )
    raise field_error(address.error.zh, address.error.en)
