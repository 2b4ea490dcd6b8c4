"""Signatures of pushed bounces, as Standard Webhooks 1.0.0 has them (v1: HMAC-SHA256 over `id.timestamp.body`)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imsg_contract.constant_time import equals

SIGNED = "whsec_"
"""What a secret begins with that signs; any other is a part of the URL."""

FRESH_S = 300
"""How far a signature's time may be from ours."""

MAX_SIGNATURES = 10

_DIGITS = 12


def read_secret(text: str) -> bytes:
    """Read a secret that signs: `whsec_` and base64 of 24 to 64 octets. Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(SIGNED), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{SIGNED} must be followed by base64") from error
    if not 24 <= len(key) <= 64:  # noqa: PLR2004  the standard's own numbers
        raise ValueError(f"{SIGNED} must be followed by base64 of 24 to 64 bytes, this has {len(key)}")
    return key


@dataclass(frozen=True, slots=True)
class Signature:
    """What the headers of a push say of its signature; whether it is genuine only the body tells."""

    signed: bytes
    """What stands before the body in what is signed."""
    digests: Sequence[bytes]

    def fits(self, secrets: Sequence[bytes], body: bytes) -> bool:
        """Tell whether one of the secrets has signed the very body."""
        known = [hmac.digest(secret, self.signed + body, hashlib.sha256) for secret in secrets]
        return any(equals(given, secret) for secret in known for given in self.digests)


def read_signature(headers: Mapping[str, str], now_s: float) -> Signature | None:
    """Read what a push is signed by, its names in small letters; None where it has no signature of our time."""
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= _DIGITS and abs(now_s - int(stamp)) <= FRESH_S):
        return None
    given = headers.get("webhook-signature", "").split(" ")[:MAX_SIGNATURES]
    digests = [digest for text in given if (digest := _read_digest(text)) is not None]
    if not name or not digests:
        return None
    return Signature(f"{name}.{stamp}.".encode("latin-1", "replace"), digests)


def _read_digest(text: str) -> bytes | None:
    """Read `v1,` and base64 of a SHA-256; None where it is anything else."""
    version, _, encoded = text.partition(",")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    return digest if version == "v1" and len(digest) == hashlib.sha256().digest_size else None
