"""Signatures of pushed bounces by Standard Webhooks 1.0.0 (v1: HMAC-SHA256 of `id.timestamp.body`)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imsg_contract.constant_time import equals

SIGNED = "whsec_"
"""The prefix of a secret that signs; a secret without it is part of the URL."""

FRESH_S = 300
"""How far a signature's time may differ from this machine's."""

MAX_SIGNATURES = 10

_DIGITS = 12


def read_secret(text: str) -> bytes:
    """Decode a secret that signs: `whsec_` and base64 of 24 to 64 octets. Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(SIGNED), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{SIGNED} must be followed by base64") from error
    if not 24 <= len(key) <= 64:  # noqa: PLR2004  the standard's own numbers
        raise ValueError(f"{SIGNED} must be followed by base64 of 24 to 64 bytes, this has {len(key)}")
    return key


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature in the headers of a push, before its verification with the body."""

    signed: bytes
    """The signed octets before the body: `id.timestamp.`."""
    digests: Sequence[bytes]

    def verify(self, secrets: Sequence[bytes], body: bytes) -> bool:
        """Return whether one of the secrets has signed the body."""
        expected = [hmac.digest(secret, self.signed + body, hashlib.sha256) for secret in secrets]
        return any(equals(digest, own) for own in expected for digest in self.digests)


def read_signature(headers: Mapping[str, str], now_s: float) -> Signature | None:
    """Read the signature of a push; None where it has none, or an expired one. `headers` have lower-case names."""
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= _DIGITS and abs(now_s - int(stamp)) <= FRESH_S):
        return None
    texts = headers.get("webhook-signature", "").split(" ")[:MAX_SIGNATURES]
    digests = [digest for text in texts if (digest := _read_digest(text)) is not None]
    if not name or not digests:
        return None
    return Signature(f"{name}.{stamp}.".encode("latin-1", "replace"), digests)


def _read_digest(text: str) -> bytes | None:
    """Decode `v1,` and base64 of a SHA-256; None for any other text."""
    version, _, encoded = text.partition(",")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return digest if version == "v1" and len(digest) == hashlib.sha256().digest_size else None
