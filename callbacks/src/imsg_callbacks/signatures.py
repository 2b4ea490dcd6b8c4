"""Signing as Standard Webhooks 1.0.0 says it (v1: HMAC-SHA256 over `id.timestamp.body`)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32
"""Of the 24 to 64 that the standard allows."""


def make_secret() -> str:
    """Make a secret as the receiver is given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, event: str, timestamp: int, body: bytes) -> str:
    """Sign the very bytes that are sent; `timestamp` is the attempt's, in seconds."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, f"{event}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(mac).decode()}"


def headers(valid: Sequence[str], event: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Write a call's headers, a signature for each secret that is valid now."""
    return {
        "webhook-id": event,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, event, timestamp, body) for secret in valid),
    }
