"""Signed calls of the SMS providers: Aliyun's RPC version 1 and V3 (ACS3-HMAC-SHA256), and keys derived by scope."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

from imsg_contract.constant_time import equals

V1_WINDOW_S = 31 * 60
V3_WINDOW_S = 15 * 60
"""How far a request's time may be from ours (help.aliyun.com/document_detail/25490.htm and 2593177.html)."""

NONCES = 200_000
"""How many nonces are remembered; older ones are past their window."""

ALGORITHM = "ACS3-HMAC-SHA256"
_AUTHORIZATION = re.compile(rf"{ALGORITHM} +Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-fA-F]+)")
_MUST_BE_SIGNED = {
    "host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256",
}  # fmt: skip
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    form: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of query and form."""
        return dict([*self.query, *self.form])


@dataclass(frozen=True, slots=True)
class AuthenticationError(Exception):
    """Why a call is refused for its signature."""

    code: str
    message: str
    status: int = 400


@dataclass(slots=True)
class Authenticator:
    """Checks that a call is signed by a known secret, in time, and for the first time."""

    secrets: Mapping[str, str]
    now: Callable[[], datetime]
    _seen: dict[tuple[str, str], None] = field(default_factory=dict)

    def check(self, call: Call) -> str:
        """Return the action of a call. Raises AuthenticationError."""
        if call.headers.get("authorization", "").startswith(ALGORITHM):
            key, nonce = self._check_v3(call)
            action, version = call.headers["x-acs-action"], call.headers["x-acs-version"]
        else:
            key, nonce = self._check_v1(call)
            action, version = call.parameters.get("Action", ""), call.parameters.get("Version", "")
        if version != "2017-05-25":
            raise AuthenticationError("InvalidVersion", "Specified parameter Version is not valid.")
        if (key, nonce) in self._seen:
            raise AuthenticationError("SignatureNonceUsed", "Specified signature nonce was used already.")
        self._seen[key, nonce] = None
        if len(self._seen) > NONCES:
            del self._seen[next(iter(self._seen))]
        return action

    def _check_v3(self, call: Call) -> tuple[str, str]:
        match = _AUTHORIZATION.fullmatch(call.headers["authorization"].strip())
        if match is None:
            raise AuthenticationError(
                "IncompleteSignature", "The request signature does not conform to Aliyun standards."
            )
        key, names, signature = match[1], match[2].split(";"), match[3]
        must = _MUST_BE_SIGNED | {name for name in call.headers if name.startswith("x-acs-")}
        if missing := must - set(names):
            raise AuthenticationError(
                "IncompleteSignature", f"{', '.join(sorted(missing))} must be among the signed headers."
            )
        if absent := [name for name in names if name not in call.headers]:
            raise AuthenticationError("IncompleteSignature", f"{', '.join(absent)} was signed and is not there.")
        secret = self._secret(key)
        digest = hashlib.sha256(call.body).hexdigest()
        if digest != call.headers["x-acs-content-sha256"].lower():
            raise AuthenticationError("InvalidContentSha256", "x-acs-content-sha256 is not the hash of the body.")
        paths = dict.fromkeys((call.path, "/"))  # an RPC call's path is /, wherever a sandbox is mounted
        if not any(equals(signature.lower(), v3(call, names, secret, path)) for path in paths):
            raise AuthenticationError(
                "SignatureDoesNotMatch",
                f"Specified signature is not matched with ours: {canonical(call, names, '/')!r}",
            )
        self._check_time(call.headers["x-acs-date"], V3_WINDOW_S)
        return key, call.headers["x-acs-signature-nonce"]

    def _check_v1(self, call: Call) -> tuple[str, str]:
        params = call.parameters
        for name in ("AccessKeyId", "Signature", "SignatureNonce", "Timestamp", "SignatureMethod", "SignatureVersion"):
            if not params.get(name):
                raise AuthenticationError(f"Missing{name}", f"{name} is mandatory for this action.")
        if (params["SignatureMethod"], params["SignatureVersion"]) != ("HMAC-SHA1", "1.0"):
            raise AuthenticationError("InvalidParameter", "SignatureMethod must be HMAC-SHA1 and SignatureVersion 1.0.")
        secret = self._secret(params["AccessKeyId"])
        if not equals(params["Signature"], v1(call.method, params, secret)):
            raise AuthenticationError(
                "SignatureDoesNotMatch", "Specified signature is not matched with our calculation."
            )
        self._check_time(params["Timestamp"], V1_WINDOW_S)
        return params["AccessKeyId"], params["SignatureNonce"]

    def _secret(self, key: str) -> str:
        if key not in self.secrets:
            raise AuthenticationError("InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404)
        return self.secrets[key]

    def _check_time(self, text: str, window_s: int) -> None:
        try:
            at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise AuthenticationError(
                "InvalidTimeStamp.Format", "The time must be written YYYY-MM-DDThh:mm:ssZ, in UTC."
            ) from None
        if abs((self.now() - at).total_seconds()) > window_s:
            raise AuthenticationError("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def v1(method: str, parameters: Mapping[str, str], secret: str) -> str:
    """Return the signature of RPC version 1."""
    pairs = sorted((name, value) for name, value in parameters.items() if name != "Signature")
    joined = "&".join(f"{escape(name)}={escape(value)}" for name, value in pairs)
    to_sign = f"{method}&{escape('/')}&{escape(joined)}"
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), to_sign.encode(), "sha1")).decode()


def v3(call: Call, names: Sequence[str], secret: str, path: str) -> str:
    """Return the signature of V3 over the headers that the caller names."""
    digest = hashlib.sha256(canonical(call, names, path).encode()).hexdigest()
    return hmac.digest(secret.encode(), f"{ALGORITHM}\n{digest}".encode(), "sha256").hex()


def sign_scoped(secret: str, scope: Sequence[str], text: str) -> str:
    """Return the HMAC-SHA-256 of a text by a key derived from a secret for a scope, as Tencent and Volcengine sign."""
    key = secret.encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def canonical(call: Call, names: Sequence[str], path: str) -> str:
    """Return the canonical form of a call, which both sides sign."""
    query = "&".join(f"{escape(name)}={escape(value)}" for name, value in sorted(call.query))
    signed = "".join(f"{name}:{call.headers[name].strip()}\n" for name in sorted(names))
    digest = call.headers["x-acs-content-sha256"]
    return f"{call.method}\n{path}\n{query}\n{signed}\n{';'.join(sorted(names))}\n{digest}"


def escape(text: str) -> str:
    """Percent-encode everything but the unreserved characters of RFC 3986."""
    return "".join(chr(octet) if octet in _PLAIN else f"%{octet:02X}" for octet in text.encode())


def read_pairs(text: str) -> list[tuple[str, str]]:
    """Read a query string or a form body; broken UTF-8 becomes U+FFFD and fits no signature."""
    read: list[tuple[str, str]] = []
    for piece in text.split("&"):
        if piece:
            name, _, value = piece.replace("+", " ").partition("=")
            read.append(
                (unquote_to_bytes(name).decode("utf-8", "replace"), unquote_to_bytes(value).decode("utf-8", "replace"))
            )
    return read
