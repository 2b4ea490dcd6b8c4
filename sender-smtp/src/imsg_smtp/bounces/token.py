"""The name by which a bounce finds its message: the local part of the envelope sender (VERP), which nobody can forge.

`b+` and base32 of the message's name with eight octets of HMAC behind it: RFC 5321, 4.5.3.1.1, allows 64 octets, and
these are 47. Its letters are small, and read whatever their case: some servers change it.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from pydantic import SecretStr

from imsg_contract.constant_time import equals

PREFIX = "b+"

MAC_OCTETS = 8
"""A guess is right once in 2⁶⁴, and each is one mail that has to be sent to us."""

_PACKED_OCTETS = 16 + 4
_TOKEN_CHARACTERS = 45
"""Of 28 octets, without padding."""

_LABEL = b"imsg bounce tokens"

_SHAPE = re.compile(r"b\+([a-z2-7]{45})", re.ASCII)


def derive_keys(secrets: Sequence[SecretStr]) -> list[bytes]:
    """Make the keys of tokens from the erasure keys, so that one says nothing of the other; the first makes tokens."""
    return [hmac.digest(one.get_secret_value().encode(), _LABEL, hashlib.sha256) for one in secrets]


def make_token(key: bytes, request: str, n: int) -> str:
    """Write the local part of a message's envelope sender; `request` is 32 hex digits, `n` its number below 2³²."""
    packed = bytes.fromhex(request) + n.to_bytes(4, "big")
    return PREFIX + base64.b32encode(packed + _mac(key, packed)).decode().rstrip("=").lower()


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
