"""Log-ins: what a user sends to get and end tokens, and what the user is shown."""

from typing import Annotated

from pydantic import Field

from imsg_auth.schemas.fields import NO_NUL, AnyPassword, Name, NewPassword, example
from imsg_auth.schemas.users import UserAnswer
from imsg_contract.api_keys import KeyKind
from imsg_web.request_models import RequestModel
from imsg_web.schemas import AnswerPart, Success, Time


class Login(RequestModel):
    """POST /api/login."""

    model_config = example({"username": "li.wei", "password": "correct horse"})

    username: Name
    password: AnyPassword
    otp: Annotated[
        str | None,
        Field(max_length=32, description="The one-time password of the authenticator app, or a recovery code."),
    ] = None


class Otp(RequestModel):
    """POST /api/me/totp/confirm."""

    model_config = example({"otp": "492039"})

    otp: Annotated[str, Field(max_length=32, description="What the authenticator app shows.")]


class TotpAnswer(Success):
    """A secret for an authenticator app."""

    secret: Annotated[str, Field(description="Base32, to be typed in.")]
    uri: Annotated[str, Field(description="`otpauth://…`, as the app reads it.")]
    qr: Annotated[str, Field(description="The same as a QR code: a data URI of an SVG.")]


class RecoveryCodesAnswer(Success):
    """The recovery codes: each logs in once in place of a one-time password."""

    recovery_codes: list[str]


class NewPageSession(RequestModel):
    """POST /api/sessions."""

    model_config = example({"digest": "9f86d081884c7d65" * 4, "agent": "Firefox"})

    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="The SHA-256 of a secret of 32 random bytes.")]
    agent: Annotated[str, Field(max_length=256, json_schema_extra={**NO_NUL}, description="The browser.")]


class ResumedSession(RequestModel):
    """POST /api/sessions/resume."""

    model_config = example({"secret": "Zm9vYmFyYmF6cXV4"})

    secret: Annotated[str, Field(max_length=256, json_schema_extra={**NO_NUL})]


class PageSessionAnswer(Success):
    """A session of the web page."""

    id: str


class PageSessionRecord(AnswerPart):
    """A session of the web page."""

    id: str
    address: Annotated[str, Field(description="From where it was opened.")]
    agent: Annotated[str, Field(description="The browser.")]
    created_at: Time
    expires_at: Time
    current: Annotated[bool, Field(description="Whether this call was made by its token.")]


class PageSessionsAnswer(Success):
    """One's sessions of the web page, the newest first."""

    sessions: list[PageSessionRecord]


class Logout(RequestModel):
    """POST /api/logout."""

    model_config = example({"everywhere": False})

    everywhere: bool | None = None


class PasswordChange(RequestModel):
    """POST /api/password."""

    model_config = example({"old": "correct horse", "new": "battery staple"})

    old: AnyPassword
    new: NewPassword


class TokenAnswer(Success):
    """A new token."""

    token: str
    expires_in: Annotated[int, Field(description="Seconds from now.")]


class OwnKey(AnswerPart):
    """The key by which a call was made."""

    id: str
    name: str
    kind: KeyKind
    scopes: list[str]
    expires_at: Time | None


class MeAnswer(UserAnswer):
    """The calling user, and the key of the call."""

    totp: Annotated[bool, Field(description="Whether a log-in needs a one-time password.")]
    key: Annotated[OwnKey | None, Field(description="null: by a token of a log-in.")]
