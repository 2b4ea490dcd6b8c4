"""Tencent Cloud's signature TC3-HMAC-SHA256 (cloud.tencent.com/document/api/382/52069)."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

ALGORITHM = "TC3-HMAC-SHA256"
JSON = "application/json; charset=utf-8"
TERMINATOR = "tc3_request"


@dataclass(frozen=True, slots=True)
class Request:
    """What is signed: always a POST of JSON; the very bytes that are sent."""

    host: str
    service: str
    action: str
    version: str
    body: bytes
    path: str = "/"
    """Anything else only where the endpoint is not the provider's own."""


def headers(request: Request, secret_id: str, secret_key: str, *, now: datetime, region: str = "") -> dict[str, str]:
    """Make all headers of a signed request, `Authorization` included; `now` is within 5 min of the provider's clock."""
    signed = {"content-type": JSON, "host": request.host, "x-tc-action": request.action.lower()}
    seconds = int(now.timestamp())
    # The date is UTC's: by a local one every call between 0:00 and 8:00 in Beijing would be refused.
    scope = f"{now.astimezone(UTC):%Y-%m-%d}/{request.service}/{TERMINATOR}"
    names = ";".join(sorted(signed))
    signature = sign(canonical(request, signed, names), secret_key, seconds, scope)
    made = {
        "content-type": JSON,
        "host": request.host,
        "x-tc-action": request.action,
        "x-tc-version": request.version,
        "x-tc-timestamp": str(seconds),
        "authorization": f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={names}, Signature={signature}",
    }
    return {**made, "x-tc-region": region} if region else made


def canonical(request: Request, signed: Mapping[str, str], names: str) -> str:
    """Write the canonical request: the one form in which both sides see the call."""
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    return "\n".join(("POST", request.path, "", lines, names, hashlib.sha256(request.body).hexdigest()))


def sign(canonical_request: str, secret_key: str, seconds: int, scope: str) -> str:
    """Sign a canonical request with the key of that day and service."""
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{seconds}\n{scope}\n{digest}"
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
