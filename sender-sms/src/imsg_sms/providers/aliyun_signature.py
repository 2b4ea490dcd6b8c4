"""Aliyun's signature V3, ACS3-HMAC-SHA256 (help.aliyun.com/document_detail/2593177.html)."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

ALGORITHM = "ACS3-HMAC-SHA256"
UNRESERVED = "-_.~"
"""What RFC 3986 leaves unescaped beside letters and digits; a space becomes %20, never +."""


@dataclass(frozen=True, slots=True)
class Request:
    """The signed request: an RPC call has path `/`, its parameters in the query or in a form body."""

    method: str
    host: str
    action: str
    version: str
    query: Mapping[str, str]
    body: bytes = b""
    content_type: str | None = None
    path: str = "/"
    """Another path only if the endpoint is not the provider's own."""
    encoded: str | None = None
    """The result of `encode` for the query, if it is known already."""


def headers(request: Request, key_id: str, secret: str, *, now: datetime, nonce: str) -> dict[str, str]:
    """Return all headers of a signed request, `Authorization` included.

    `now` must be within 15 minutes of the provider's clock; `nonce` must never have been used.
    """
    signed = {
        "host": request.host,
        "x-acs-action": request.action,
        "x-acs-version": request.version,
        "x-acs-date": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": hashlib.sha256(request.body).hexdigest(),
    }
    if request.content_type is not None:
        signed["content-type"] = request.content_type
    names = ";".join(sorted(signed))
    signature = sign(canonical(request, signed, names), secret)
    return {**signed, "authorization": f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"}


def canonical(request: Request, signed: Mapping[str, str], names: str) -> str:
    """Return the canonical request, which both sides sign."""
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    path = quote(request.path, safe=f"/{UNRESERVED}")
    query = encode(request.query) if request.encoded is None else request.encoded
    return "\n".join((request.method, path, query, lines, names, signed["x-acs-content-sha256"]))


def encode(parameters: Mapping[str, str]) -> str:
    """Encode parameters sorted by key, by RFC 3986."""
    return "&".join(f"{_quote_text(key)}={_quote_text(parameters[key])}" for key in sorted(parameters))


def sign(canonical_request: str, secret: str) -> str:
    """Sign a canonical request with the secret itself: there is no derived key."""
    to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical_request.encode()).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def _quote_text(text: str) -> str:
    return quote(text, safe=UNRESERVED)
