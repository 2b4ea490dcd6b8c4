"""The names by which a bounce finds its message, which nobody can forge: a token, and a signed name.

A token is the local part of an envelope sender (VERP): `b+` and base32 of the message's name with eight octets of HMAC
behind it. RFC 5321, 4.5.3.1.1, allows 64 octets, and these are 47. A signed name stands in the mail itself, for servers
that let nobody choose the envelope sender: `REQUEST-N.MAC`, with the same HMAC, in `X-IMSG-Id` and the Message-ID.
Letters are small, and read whatever their case: some servers change it.
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
"""A guess is right once in 2⁶⁴, and each is one mail that has to be sent to us."""

_PACKED_OCTETS = 16 + 4
_NUMBERS = 2**32
_TOKEN_CHARACTERS = 45
"""Of 28 octets, without padding."""

_LABEL = b"imsg bounce tokens"

_SHAPE = re.compile(r"b\+([a-z2-7]{45})", re.ASCII)

SIGNED_NAME = r"[0-9a-f]{32}-\d{1,10}\.[a-z2-7]{13}"
"""What a signed name looks like, in small letters."""

_SIGNED_SHAPE = re.compile(r"([0-9a-f]{32})-(\d{1,10})\.([a-z2-7]{13})", re.ASCII)


def derive_keys(secrets: Sequence[SecretStr]) -> list[bytes]:
    """Make the keys of tokens from the erasure keys, so that one says nothing of the other; the first makes tokens."""
    return [hmac.digest(one.get_secret_value().encode(), _LABEL, hashlib.sha256) for one in secrets]


def make_token(key: bytes, request: str, n: int) -> str:
    """Write the local part of a message's envelope sender; `request` is 32 hex digits, `n` its number below 2³²."""
    packed = bytes.fromhex(request) + n.to_bytes(4, "big")
    return PREFIX + base64.b32encode(packed + _mac(key, packed)).decode().rstrip("=").lower()


def sign_name(key: bytes, request: str, n: int) -> str:
    """Write a message's name with its signature: `REQUEST-N.MAC`."""
    mac = _mac(key, bytes.fromhex(request) + n.to_bytes(4, "big"))
    return f"{message_id(request, n)}.{base64.b32encode(mac).decode().rstrip('=').lower()}"


def read_signed_name(keys: Sequence[bytes], name: str) -> tuple[str, int] | None:
    """Say which message a signed name names, `(request, n)`; None where none of the keys has signed it."""
    found = _SIGNED_SHAPE.fullmatch(name.lower())
    if found is None or (n := int(found[2])) >= _NUMBERS:
        return None
    request = found[1]
    is_ours = any(equals(found[0], sign_name(key, request, n)) for key in keys)
    return (request, n) if is_ours else None


def read_token(keys: bytes | Sequence[bytes], local_part: str) -> tuple[str, int] | None:
    """Say which message a local part names, `(request, n)`; None where none of the keys has made it."""
    found = _SHAPE.fullmatch(local_part.lower())
    if found is None:
        return None
    sealed = base64.b32decode(found[1].upper() + "=" * (-_TOKEN_CHARACTERS % 8))
    packed, mac = sealed[:_PACKED_OCTETS], sealed[_PACKED_OCTETS:]
    for key in (keys,) if isinstance(keys, bytes) else keys:
        if equals(mac, _mac(key, packed)):
            return packed[:16].hex(), int.from_bytes(packed[16:], "big")
    return None


def _mac(key: bytes, packed: bytes) -> bytes:
    return hmac.digest(key, packed, hashlib.sha256)[:MAC_OCTETS]
