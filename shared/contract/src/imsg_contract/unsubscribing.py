"""What the link of a marketing mail says, agreed on by who writes it and who answers it (RFC 8058)."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

PATH = "/u/"
"""Before the token, behind the public URL."""

MAX_TOKEN = 1_024
"""Characters; ours have some 200."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What somebody leaves: the mails of one sender and category to one address."""

    address: str
    sender: str
    """The named sender; empty: the one that needs no name."""
    category: str

    def pack(self) -> bytes:
        """Write it as what is put into a token."""
        return json.dumps([self.address, self.sender, self.category], ensure_ascii=False).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> "Subscription | None":
        """Read what a token held; None where a later version wrote it otherwise."""
        try:
            address, sender, category, *_ = json.loads(packed)
        except ValueError:
            return None
        return cls(str(address), str(sender), str(category))


def derive_keys(secrets: Sequence[SecretStr]) -> list[bytes]:
    """Make the keys of tokens from the erasure keys, 64 octets each, so that one says nothing of the other."""
    label = b"imsg unsubscribe links"
    return [hmac.digest(one.get_secret_value().encode(), label, hashlib.sha512) for one in secrets]


def write_token(sealed: bytes) -> str:
    """Write a sealed subscription as a URL can hold it."""
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read_token(token: str) -> bytes | None:
    """Read it back, still sealed; None where it is no token."""
    if not token or len(token) > MAX_TOKEN:
        return None
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
