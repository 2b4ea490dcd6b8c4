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
    """The signed request: always a POST of JSON; `body` is sent unchanged."""

    host: str
    service: str
    action: str
    version: str
    body: bytes
    path: str = "/"
    """Another path only if the endpoint is not the provider's own."""


def headers(request: Request, secret_id: str, secret_key: str, *, now: datetime, region: str = "") -> dict[str, str]:
    """Return all headers of a signed request, `Authorization` included.

    `now` must be within 5 minutes of the provider's clock.
    """
    signed = {"content-type": JSON, "host": request.host, "x-tc-action": request.action.lower()}
    seconds = int(now.timestamp())
    # The date must be in UTC.
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
    """Return the canonical request, which both sides sign."""
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
