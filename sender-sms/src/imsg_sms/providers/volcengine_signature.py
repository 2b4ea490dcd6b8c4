"""Volcengine's signature HMAC-SHA256 (volcengine.com/docs/6369/67269): like AWS' fourth, but for the first key."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

ALGORITHM = "HMAC-SHA256"
JSON = "application/json; charset=utf-8"
TERMINATOR = "request"


@dataclass(frozen=True, slots=True)
class Request:
    """The signed request; `body` is JSON, and sent unchanged."""

    host: str
    query: Mapping[str, str]
    body: bytes
    path: str = "/"
    method: str = "POST"


def encode(query: Mapping[str, str]) -> str:
    """Encode parameters sorted by key, by RFC 3986."""
    return "&".join(f"{quote(key, safe='-_.~')}={quote(query[key], safe='-_.~')}" for key in sorted(query))


def headers(request: Request, key_id: str, secret: str, *, now: datetime, region: str, service: str) -> dict[str, str]:
    """Return all headers of a signed request, `Authorization` included."""
    at = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    signed = {
        "content-type": JSON,
        "host": request.host,
        "x-content-sha256": hashlib.sha256(request.body).hexdigest(),
        "x-date": at,
    }
    names = ";".join(sorted(signed))
    scope = f"{at[:8]}/{region}/{service}/{TERMINATOR}"
    signature = sign(canonical(request, signed, names), secret, at, scope)
    credential = f"{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "authorization": credential}


def canonical(request: Request, signed: Mapping[str, str], names: str) -> str:
    """Return the canonical request, which both sides sign."""
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    return "\n".join((request.method, request.path, encode(request.query), lines, names, signed["x-content-sha256"]))


def sign(canonical_request: str, secret: str, at: str, scope: str) -> str:
    """Sign a canonical request; the first key is the bare secret."""
    digest = hashlib.sha256(canonical_request.encode()).hexdigest()
    key = secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"{ALGORITHM}\n{at}\n{scope}\n{digest}".encode(), "sha256").hex()
