"""The token's form and its MAC: standard base64 of `NONCE:EXPIRY:USERNAME:MAC` (interface document, section 2)."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from imsg_contract.constant_time import equals

NONCE_BYTES = 16
"""Randomness in a token, written as 32 hex digits; a log-out revokes the token by it."""

MAX_CHARACTERS = 4096
"""The longest text that is parsed: a name of 64 characters makes under 500; the rest is for wrapped lines."""

_ASCII_SPACE = str.maketrans("", "", " \t\n\r\v\f")
_NONCE = re.compile(r"[0-9a-f]{32}")
_EXPIRY = re.compile(r"[1-9][0-9]{0,11}")
_MAC = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """The fields of a token, which `verify` has not checked yet."""

    nonce: str
    expiry: int
    """The Unix time in seconds at which it expires."""
    username: str
    mac: str

    def has_expired(self, now: float) -> bool:
        """Return whether it has expired."""
        return now >= self.expiry


def make(username: str, user_id: str, epoch: int, *, expiry: int, nonce: str, key: SecretStr) -> str:
    """Return a user's token, signed with one key (the first of IMSG_TOKEN_KEY) over the id and epoch too."""
    mac = _mac(f"{nonce}:{expiry}:{username}", user_id, epoch, key)
    return base64.b64encode(f"{nonce}:{expiry}:{username}:{mac}".encode()).decode("ascii")


def parse(text: str) -> Token | None:
    """Parse a token; return None for text of another form.

    ASCII white space is dropped first, since Java and `base64` wrap lines; anything else outside the standard
    alphabet, a missing pad or spare bits are refused, so that one token has one text.
    """
    if len(text) > MAX_CHARACTERS:
        return None
    text = text.translate(_ASCII_SPACE)
    try:
        content = base64.b64decode(text, validate=True)
        fields = content.decode("utf-8").split(":")
    except (binascii.Error, ValueError):
        return None
    if base64.b64encode(content).decode("ascii") != text or len(fields) != 4:  # noqa: PLR2004  the four of the form
        return None
    nonce, expiry, username, mac = fields
    if not (_NONCE.fullmatch(nonce) and _EXPIRY.fullmatch(expiry) and username and _MAC.fullmatch(mac)):
        return None
    return Token(nonce, int(expiry), username, mac)


def verify(token: Token, user_id: str, epoch: int, keys: Sequence[SecretStr]) -> bool:
    """Return whether one of the keys signed this token for this user and epoch, in constant time.

    It does not check expiry (`has_expired`) or revocation (the user cache).
    """
    is_ours = False
    for key in keys:
        mac = _mac(f"{token.nonce}:{token.expiry}:{token.username}", user_id, epoch, key)
        is_ours |= equals(token.mac, mac)
    return is_ours


def _mac(fields: str, user_id: str, epoch: int, key: SecretStr) -> str:
    """Sign a token's fields, and its user's id and epoch."""
    return hmac.new(key.get_secret_value().encode(), f"{fields}:{user_id}:{epoch}".encode(), hashlib.sha256).hexdigest()
