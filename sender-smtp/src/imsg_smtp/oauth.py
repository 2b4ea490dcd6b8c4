"""Fetches the tokens of OAuth 2.0 by which a log-in is made (RFC 6749, RFC 7523).

Authlib and MSAL each bring a session of their own, MSAL a synchronous one of Microsoft alone. A grant is one POST.
"""

import asyncio
import base64
import hashlib
import re
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from joserfc import jwt
from joserfc.jwk import RSAKey

from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS
from imsg_delivery.shared_token import SharedToken, Token
from imsg_runtime.masking import Secrets
from imsg_runtime.redis import Redis
from imsg_runtime.sealing import Sealer
from imsg_smtp.log_in import LogIn, read_certificate, read_service_account, read_text
from imsg_smtp.replies import MAX_TEXT_CHARACTERS, make_readable
from imsg_web.checked_transport import CheckedTransport
from imsg_web.destinations import AddressForbidden, AddressPolicy

CALL_S = 10.0
"""The timeout of the whole call: a connection to a mail server has to be open within `Timeouts.opening_s`."""

ASSERTION_LIFE_S = 300

DEFAULT_LIFE_S = 3_600
"""The life of a token whose answer has none; Microsoft and Google give an hour."""

PURPOSE = "access tokens"

KEY = "imsg:smtp:token:"

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

UNREACHABLE, REFUSED = "oauth_unreachable", "oauth_refused"

CODES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"AADSTS7000215\b"), "oauth_wrong_secret"),
    (re.compile(r"AADSTS7000222\b"), "oauth_expired_secret"),
    (re.compile(r"AADSTS(700027|7000229|700030)\b"), "oauth_wrong_certificate"),
    (re.compile(r"AADSTS700016\b"), "oauth_unknown_application"),
    (re.compile(r"AADSTS(90002|900023)\b"), "oauth_unknown_tenant"),
    (re.compile(r"AADSTS(65001|7000112|700011|500011)\b"), "oauth_no_consent"),
    (re.compile(r"^unauthorized_client\b"), "oauth_not_delegated"),
    (re.compile(r"^access_denied\b"), "oauth_no_scope"),
    (re.compile(r"^invalid_scope\b"), "oauth_no_scope"),
    (re.compile(r"^invalid_client\b"), "oauth_wrong_secret"),
    (re.compile(r"^invalid_grant\b"), "oauth_invalid_grant"),
)
"""What an error's name and description contain → our code; the first that matches (Microsoft's AADSTS, Google's)."""


@dataclass(frozen=True, slots=True)
class TokenFailure:
    """There is no token."""

    code: str
    detail: str
    is_transient: bool = False
    """Whether the issuer did not answer: the same call may succeed later."""


class TokenSource(Protocol):
    """A source of tokens for log-ins."""

    async def get(self, stale: str | None = None) -> str | TokenFailure:
        """Return a token other than `stale`, which the mail server has just refused; or why there is none."""


class OwnToken:
    """Tokens that only this process uses: to check a log-in, and where no key seals shared ones."""

    def __init__(self, log_in: LogIn, destinations: AddressPolicy) -> None:
        self._log_in = log_in
        self._destinations = destinations
        self._token: Token | None = None

    async def get(self, stale: str | None = None) -> str | TokenFailure:
        """Return a token other than `stale`, fetched ahead of the end of the one before; or why there is none."""
        if self._token is None or self._token.text == stale or time.time() >= self._token.renew_at:
            fetched = await fetch(self._log_in, self._destinations)
            if isinstance(fetched, TokenFailure):
                return fetched
            self._token = fetched
        return self._token.text


def share_tokens(log_in: LogIn, destinations: AddressPolicy, redis: Redis, sealer: Sealer) -> TokenSource:
    """Return the source of the tokens of a log-in that all replicas share."""
    digest = hashlib.sha256(repr(_make_identity(log_in)).encode()).hexdigest()
    return SharedToken[TokenFailure](redis, sealer, f"{KEY}{digest[:32]}", lambda: fetch(log_in, destinations))


def _make_identity(log_in: LogIn) -> list[tuple[str, str]]:
    """Return all that a token depends on, the secrets too: another secret does not use the token of the one before."""
    fields = sorted(set(LogIn.model_fields) - {"password", "auth"})
    values = [(field, getattr(log_in, field)) for field in fields]
    return [
        (field, value.get_secret_value() if hasattr(value, "get_secret_value") else str(value))
        for field, value in values
        if value is not None
    ]


async def fetch(
    log_in: LogIn, destinations: AddressPolicy, now: Callable[[], float] = time.time
) -> Token | TokenFailure:
    """Fetch a token from its issuer, whose URL may lead to `destinations`."""
    try:
        form = _make_form(log_in, int(now()))
    except (OSError, ValueError) as error:  # a file was there at the start, and is not now
        return TokenFailure(REFUSED, f"the log-in's file can't be read: {error}")
    url, issuer = log_in.source.token_url, httpx.URL(log_in.source.token_url).host
    tls = await asyncio.to_thread(ssl.create_default_context)
    try:
        calls = CheckedTransport(destinations, limits=httpx.Limits(), verify=tls)
        async with asyncio.timeout(CALL_S), httpx.AsyncClient(transport=calls, timeout=CALL_S) as client:
            answer = await client.post(url, data=form, headers={"Accept": "application/json"})
    except AddressForbidden as error:
        return TokenFailure(FORBIDDEN_ADDRESS.code, f"{issuer} is not called for a token: {error}.")
    except (httpx.HTTPError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        return TokenFailure(UNREACHABLE, f"{issuer} can't be reached for a token: {why}", is_transient=True)
    return _read(answer, issuer, Secrets(log_in), now())


def _read(answer: httpx.Response, issuer: str, secrets: Secrets, now: float) -> Token | TokenFailure:
    try:
        body: Any = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        detail = f"{issuer} gave no token (HTTP {answer.status_code})."
        return TokenFailure(UNREACHABLE, detail, is_transient=True)
    token, life_s = body.get("access_token"), body.get("expires_in", DEFAULT_LIFE_S)
    if isinstance(token, str) and token and answer.is_success:
        return Token.of(token, float(life_s) if str(life_s).isdecimal() else DEFAULT_LIFE_S, now)
    error = f"{body.get('error', '')} {body.get('error_description', '')}"
    text = make_readable(secrets.hide_in(error))
    code = next((code for pattern, code in CODES if pattern.search(text)), REFUSED)
    return TokenFailure(code, text[:MAX_TEXT_CHARACTERS])


def _make_form(log_in: LogIn, now: int) -> Mapping[str, str]:
    """Return the body of the call. Raises OSError, ValueError where a file has gone or changed."""
    if log_in.preset == "google" and log_in.service_account is not None and log_in.refresh_token is None:
        address, key_pem = read_service_account(read_text(log_in.service_account))
        claims = {"sub": log_in.username, "scope": log_in.source.scope}
        assertion = _sign(address, log_in.source.token_url, now, claims, {"alg": "RS256", "typ": "JWT"}, key_pem)
        return {"grant_type": JWT_BEARER, "assertion": assertion}
    form = {"client_id": log_in.client_id or ""}
    if log_in.certificate is not None:
        form |= {"client_assertion_type": CLIENT_ASSERTION, "client_assertion": _assert_client(log_in, now)}
    elif log_in.client_secret is not None:
        form["client_secret"] = log_in.client_secret.get_secret_value()
    if log_in.preset == "google" and log_in.refresh_token is not None:
        return {**form, "grant_type": "refresh_token", "refresh_token": log_in.refresh_token.get_secret_value()}
    scope = {"scope": log_in.source.scope} if log_in.source.scope else {}
    return {**form, **scope, "grant_type": "client_credentials"}


def _assert_client(log_in: LogIn, now: int) -> str:
    """Sign who the application is by its certificate (private_key_jwt), as Microsoft documents it."""
    assert log_in.certificate is not None  # noqa: S101  the caller has looked
    own = read_certificate(read_text(log_in.certificate))
    header = {
        "alg": "RS256",
        "typ": "JWT",
        "x5t": _encode(own.certificate.fingerprint(SHA1())),  # noqa: S303  the name of the certificate
        "x5t#S256": _encode(own.certificate.fingerprint(SHA256())),
    }
    client = log_in.client_id or ""
    return _sign(client, log_in.source.token_url, now, {"sub": client, "nbf": now}, header, own.key_pem)


def _sign(  # noqa: PLR0917  the parts of an assertion
    issuer: str, audience: str, now: int, claims: Mapping[str, Any], header: Mapping[str, str], key_pem: str
) -> str:
    whole = {
        "iss": issuer,
        "aud": audience,
        "iat": now,
        "exp": now + ASSERTION_LIFE_S,
        "jti": str(uuid.uuid4()),
        **claims,
    }
    return jwt.encode(dict(header), whole, RSAKey.import_key(key_pem))


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
