"""The unsubscribe link of a marketing mail (RFC 8058): sender-smtp writes it, the catalog answers it."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

PATH = "/u/"
"""The path of the link, between the public URL and the token."""

MAX_TOKEN = 1_024
"""The longest token that is read, in characters; the catalog's have some 200."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What the recipient unsubscribes from: the mails of one sender and category to one address."""

    address: str
    sender: str
    """The named sender; empty for the default sender."""
    category: str

    def pack(self) -> bytes:
        """Encode it for a token."""
        return json.dumps([self.address, self.sender, self.category], ensure_ascii=False).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> "Subscription | None":
        """Decode what a token held; None where it has another form."""
        try:
            address, sender, category, *_ = json.loads(packed)
        except ValueError:
            return None
        return cls(str(address), str(sender), str(category))


def derive_keys(secrets: Sequence[SecretStr]) -> list[bytes]:
    """Derive the keys of tokens, 64 octets each, from the erasure keys; neither reveals the other."""
    label = b"imsg unsubscribe links"
    return [hmac.digest(secret.get_secret_value().encode(), label, hashlib.sha512) for secret in secrets]


def write_token(sealed: bytes) -> str:
    """Encode a sealed subscription for a URL."""
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read_token(token: str) -> bytes | None:
    """Decode a token to the sealed subscription; None where the text is no token."""
    if not token or len(token) > MAX_TOKEN:
        return None
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
