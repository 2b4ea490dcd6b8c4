"""Signatures of pushed bounces, as Standard Webhooks 1.0.0 has them (v1: HMAC-SHA256 over `id.timestamp.body`)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

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


def is_signed(secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Tell whether one of the secrets has signed the very body, and lately; names of `headers` in small letters."""
    stamp = headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= _DIGITS and abs(now_s - int(stamp)) <= FRESH_S):
        return False
    signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode("utf-8", "replace") + body
    given = [one for one in headers.get("webhook-signature", "").split(" ")[:MAX_SIGNATURES] if one[:3] == "v1,"]
    for secret in secrets:
        mac = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256))
        if any(hmac.compare_digest(mac, one[3:].encode("utf-8", "replace")) for one in given):
            return True
    return False
