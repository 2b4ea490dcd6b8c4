"""The signatures of Standard Webhooks 1.0.0 (v1: HMAC-SHA256 over `id.timestamp.body`)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32
"""The standard allows 24 to 64."""


def make_secret() -> str:
    """Make a random secret: `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, event: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a body's bytes; `timestamp` is the attempt's, in Unix seconds."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, f"{event}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(mac).decode()}"


def write_headers(valid_secrets: Sequence[str], event: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return a call's signature headers, with one signature for each secret."""
    return {
        "webhook-id": event,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, event, timestamp, body) for secret in valid_secrets),
    }
