"""Authenticated identifiers of a message that a bounce returns: the token and the signed name.

A token is the local part of an envelope sender (VERP): `b+` and base32 of the message's name, followed by eight octets
of HMAC. It has 47 octets; RFC 5321, 4.5.3.1.1, allows 64. A signed name is `REQUEST-N.MAC` with the same HMAC, written
to `X-IMSG-Id` and the Message-ID, for servers that do not accept another envelope sender than the account's.
Both are written in lower case and read in any case, since some servers change it.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from pydantic import SecretStr

from imsg_contract.constant_time import equals
from imsg_contract.wire import message_id

PREFIX = "b+"

MAC_OCTETS = 8
"""The length of the HMAC: one guess in 2⁶⁴ is right, and each guess takes a mail."""

_PACKED_OCTETS = 16 + 4
_MAX_NUMBERS = 2**32
_TOKEN_CHARACTERS = 45
"""The base32 characters of 28 octets, without padding."""

_LABEL = b"imsg bounce tokens"

_SHAPE = re.compile(r"b\+([a-z2-7]{45})", re.ASCII)

SIGNED_NAME = r"[0-9a-f]{32}-\d{1,10}\.[a-z2-7]{13}"
"""The pattern of a signed name, in lower case."""

_SIGNED_SHAPE = re.compile(r"([0-9a-f]{32})-(\d{1,10})\.([a-z2-7]{13})", re.ASCII)


def derive_keys(secrets: Sequence[SecretStr]) -> list[bytes]:
    """Derive the token keys from the erasure keys, by HMAC. The first key makes tokens, all verify them."""
    return [hmac.digest(secret.get_secret_value().encode(), _LABEL, hashlib.sha256) for secret in secrets]


def make_token(key: bytes, request: str, n: int) -> str:
    """Return the local part of a message's envelope sender; `request` is 32 hex digits, `n` its number below 2³²."""
    packed = bytes.fromhex(request) + n.to_bytes(4, "big")
    return PREFIX + base64.b32encode(packed + _mac(key, packed)).decode().rstrip("=").lower()


def sign_name(key: bytes, request: str, n: int) -> str:
    """Return a message's name with its signature: `REQUEST-N.MAC`."""
    mac = _mac(key, bytes.fromhex(request) + n.to_bytes(4, "big"))
    return f"{message_id(request, n)}.{base64.b32encode(mac).decode().rstrip('=').lower()}"


def read_signed_name(keys: Sequence[bytes], name: str) -> tuple[str, int] | None:
    """Return the message of a signed name as `(request, n)`; None where none of the keys has signed it."""
    match = _SIGNED_SHAPE.fullmatch(name.lower())
    if match is None or (n := int(match[2])) >= _MAX_NUMBERS:
        return None
    request = match[1]
    is_ours = any(equals(match[0], sign_name(key, request, n)) for key in keys)
    return (request, n) if is_ours else None


def read_token(keys: bytes | Sequence[bytes], local_part: str) -> tuple[str, int] | None:
    """Return the message of a token as `(request, n)`; None where none of the keys has made it."""
    match = _SHAPE.fullmatch(local_part.lower())
    if match is None:
        return None
    octets = base64.b32decode(match[1].upper() + "=" * (-_TOKEN_CHARACTERS % 8))
    packed, mac = octets[:_PACKED_OCTETS], octets[_PACKED_OCTETS:]
    for key in (keys,) if isinstance(keys, bytes) else keys:
        if equals(mac, _mac(key, packed)):
            return packed[:16].hex(), int.from_bytes(packed[16:], "big")
    return None


def _mac(key: bytes, packed: bytes) -> bytes:
    return hmac.digest(key, packed, hashlib.sha256)[:MAC_OCTETS]
