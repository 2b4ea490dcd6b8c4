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
"""Randomness in a token; written as 32 hex digits, and what a log-out revokes it by."""

MAX_CHARACTERS = 4096
"""The longest text looked at: a name of 64 characters makes under 500; the rest is room for wrapped lines."""

_ASCII_SPACE = str.maketrans("", "", " \t\n\r\v\f")
_NONCE = re.compile(r"[0-9a-f]{32}")
_EXPIRY = re.compile(r"[1-9][0-9]{0,11}")
_MAC = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says; nothing of it is true before `verify` has said so."""

    nonce: str
    expiry: int
    """Unix time in seconds from which it is void."""
    username: str
    mac: str

    def has_expired(self, now: float) -> bool:
        """Tell whether its time is over."""
        return now >= self.expiry


def make(username: str, user_id: str, epoch: int, *, expiry: int, nonce: str, key: SecretStr) -> str:
    """Make the token of a user's id and epoch, signed with one key (the first of IMSG_TOKEN_KEY)."""
    mac = _mac(f"{nonce}:{expiry}:{username}", user_id, epoch, key)
    return base64.b64encode(f"{nonce}:{expiry}:{username}:{mac}".encode()).decode("ascii")


def parse(text: str) -> Token | None:
    """Read a token; None where the text can't be one.

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
    """Tell whether one of the keys made this token for this user in this epoch, in a time that is the same for all.

    Says nothing of expiry (`has_expired`) and revocation (the user cache).
    """
    is_ours = False
    for key in keys:
        mac = _mac(f"{token.nonce}:{token.expiry}:{token.username}", user_id, epoch, key)
        is_ours |= equals(token.mac, mac)
    return is_ours


def _mac(fields: str, user_id: str, epoch: int, key: SecretStr) -> str:
    """Sign a token's fields, and its user's id and epoch."""
    return hmac.new(key.get_secret_value().encode(), f"{fields}:{user_id}:{epoch}".encode(), hashlib.sha256).hexdigest()
