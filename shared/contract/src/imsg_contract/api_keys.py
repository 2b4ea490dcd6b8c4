"""API keys: their form, their digest, their scopes, and what the user cache holds of one.

A key is `imsg_live_` or `imsg_test_`, the user's id, `_`, a random secret and a checksum, all in base62. The checksum
tells a mistyped key from one that was ended, and lets secret scanners recognize keys. Only the digest is kept.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import BaseModel, ConfigDict

KeyKind = Literal["live", "test"]

PREFIX = "imsg_"
"""How a key begins, and no token does: `_` is outside standard base64."""

SEND = "send:"
"""Before the name of a method: the scope to send by it."""

SEND_BY_ANY = f"{SEND}*"
"""What a route asks for that wants the scope to send, by whatever method."""

SCOPES = (
    "query", "events", "callbacks", "templates", "groups", "suppressions", "followers", "channels", "providers",
    "users", "reports", "audit", "erasures",
)  # fmt: skip
"""The scopes beside those of sending."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_SECRET_DIGITS = 32
_CHECKSUM_DIGITS = 6
_ID_BITS = 128
_HINT_DIGITS = 4

_FORM = re.compile(r"imsg_(live|test)_([0-9A-Za-z]{1,22})_([0-9A-Za-z]{38})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a key's text says; whether it is in force is for the user cache to say."""

    kind: KeyKind
    user_id: str
    digest: str
    """The SHA-256 of the text, in hex digits."""


class CachedKey(BaseModel):
    """A key in force, as the user cache holds it in the field `key_field`."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    kind: KeyKind
    scopes: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]
    """The networks it may be used from; empty: all."""
    expires_at: int | None
    """Unix time in seconds; None: it does not expire."""

    def has_expired(self, now: float) -> bool:
        """Return whether it has expired."""
        return self.expires_at is not None and now >= self.expires_at


def make(kind: KeyKind, user_id: str) -> str:
    """Make a new key of a user."""
    secret = "".join(secrets.choice(_DIGITS) for _ in range(_SECRET_DIGITS))
    text = f"{PREFIX}{kind}_{_encode(int(user_id, 16), 1)}_{secret}"
    return text + _checksum(text)


def parse(text: str) -> ApiKey | None:
    """Parse a key; return None for text of another form, and where the checksum is wrong."""
    text = text.strip()
    match = _FORM.fullmatch(text)
    if match is None or _checksum(text[:-_CHECKSUM_DIGITS]) != text[-_CHECKSUM_DIGITS:]:
        return None
    number = 0
    for digit in match[2]:
        number = number * len(_DIGITS) + _VALUES[digit]
    if number >> _ID_BITS or _encode(number, 1) != match[2]:
        return None
    kind: KeyKind = "test" if match[1] == "test" else "live"
    return ApiKey(kind, f"{number:032x}", hashlib.sha256(text.encode()).hexdigest())


def hint(text: str) -> str:
    """Return by what a person recognizes a key: its kind and its last digits."""
    return f"{text[: len(PREFIX) + 5]}…{text[-_HINT_DIGITS:]}"


def key_field(digest: str) -> str:
    """Return the field of a cached user that holds a key."""
    return f"key:{digest}"


def _checksum(text: str) -> str:
    return _encode(zlib.crc32(text.encode()), _CHECKSUM_DIGITS)


def _encode(number: int, digits: int) -> str:
    """Write a number in base62, with so many digits at least."""
    written = ""
    while number or len(written) < digits:
        number, rest = divmod(number, len(_DIGITS))
        written = _DIGITS[rest] + written
    return written
