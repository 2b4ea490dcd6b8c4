"""A token endpoint on a real socket: it checks each grant as Microsoft's and Google's documents say.

PyJWT verifies the signatures, which sender-smtp makes by another library. Dovecot asks `/introspect` about tokens.
"""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from imsg_testing.http_stub import Asked, HttpStub, Step, first_values, reply

CLIENT, SECRET, REFRESH = "8f3a2c1e-app", "the-client-secret", "the-refresh-token"
MICROSOFT_SCOPE, GOOGLE_SCOPE = "https://outlook.office365.com/.default", "https://mail.google.com/"
SERVICE_ACCOUNT = "imsg@project.iam.gserviceaccount.com"
MAILBOX = "noreply@example.com"


class RefusedError(Exception):
    """The issuer refuses a call."""


@dataclass
class TokenIssuer:
    """What it gave, and how it answers."""

    key: RSAPrivateKey = field(default_factory=lambda: generate_private_key(65_537, 2_048))
    """Of the application's certificate and of the service account."""
    life_s: int = 3_600
    error: dict[str, Any] | None = None
    """What it answers in place of a token."""
    given: list[str] = field(default_factory=list)
    """The tokens, in their order."""
    revoked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.http = HttpStub(self._answer)

    @property
    def url(self) -> str:
        """The token URL."""
        return f"{self.http.url}/token"

    def find_user(self, token: str) -> str | None:
        """Return whose mailbox a token opens."""
        return MAILBOX if token in self.given and token not in self.revoked else None

    @property
    def key_pem(self) -> str:
        """The private key."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def certificate(self) -> x509.Certificate:
        """The application's certificate."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "iMSG")])
        begin = datetime(2026, 1, 1, tzinfo=UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(3_650))
        return builder.sign(self.key, SHA256())

    @property
    def certificate_pem(self) -> str:
        """The certificate and its key."""
        return self.certificate.public_bytes(Encoding.PEM).decode() + self.key_pem

    @property
    def service_account(self) -> str:
        """The key file of the service account."""
        return json.dumps({"type": "service_account", "client_email": SERVICE_ACCOUNT, "private_key": self.key_pem})

    def _answer(self, asked: Asked) -> Step:
        form = first_values(asked.body.decode())
        if asked.path == "/introspect":
            user = self.find_user(form.get("token", ""))
            return reply({"active": user is not None, "username": user or "", "scope": "mail"})
        if self.error is not None:
            return reply(self.error, 400)
        try:
            self._check(form)
        except (RefusedError, jwt.PyJWTError, KeyError) as error:
            return reply({"error": "invalid_request", "error_description": repr(error)}, 400)
        self.given.append(f"ya29.token-{len(self.given)}")
        return reply({"access_token": self.given[-1], "expires_in": self.life_s, "token_type": "Bearer"})

    def _check(self, form: dict[str, str]) -> None:
        match form.pop("grant_type"):
            case "client_credentials":
                self._check_client(form)
                expect(form, client_id=CLIENT, scope=MICROSOFT_SCOPE)
            case "refresh_token":
                expect(form, client_id=CLIENT, client_secret=SECRET, refresh_token=REFRESH)
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                claims = self._verify(form.pop("assertion"))
                expect(form)
                expect(claims, iss=SERVICE_ACCOUNT, sub=MAILBOX, scope=GOOGLE_SCOPE)
            case other:
                raise RefusedError(other)

    def _check_client(self, form: dict[str, str]) -> None:
        assertion = form.pop("client_assertion", None)
        if assertion is None:
            expect({"client_secret": form.pop("client_secret")}, client_secret=SECRET)
            return
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        expect({"type": form.pop("client_assertion_type")}, type=kind)
        expect(self._verify(assertion), iss=CLIENT, sub=CLIENT)
        header = jwt.get_unverified_header(assertion)
        fingerprint = base64.urlsafe_b64encode(self.certificate.fingerprint(SHA256())).rstrip(b"=").decode()
        expect({"x5t": header["x5t#S256"]}, x5t=fingerprint)

    def _verify(self, assertion: str) -> dict[str, Any]:
        claims = jwt.decode(assertion, self.key.public_key(), algorithms=["RS256"], audience=self.url)
        if claims.pop("exp") - claims.pop("iat") > 3_600:
            raise RefusedError("it lives for longer than an hour")
        return {name: value for name, value in claims.items() if name not in {"aud", "jti", "nbf"}}


def expect(found: dict[str, Any], **wanted: str) -> None:
    """Raise RefusedError where the fields are others."""
    if found != wanted:
        raise RefusedError(f"{sorted(found)} are not {sorted(wanted)}")
