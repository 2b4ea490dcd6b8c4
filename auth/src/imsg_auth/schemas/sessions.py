"""Log-ins: what a user sends to get and end tokens, and what the user is shown."""

from typing import Annotated

from pydantic import Field

from imsg_auth.schemas.fields import AnyPassword, Name, NewPassword, example
from imsg_auth.schemas.users import UserAnswer
from imsg_contract.api_keys import KeyKind
from imsg_web.request_models import RequestModel
from imsg_web.schemas import AnswerPart, Success, Time


class Login(RequestModel):
    """POST /api/login."""

    model_config = example({"username": "li.wei", "password": "correct horse"})

    username: Name
    password: AnyPassword


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
    """Who one is, and by which key one calls."""

    key: Annotated[OwnKey | None, Field(description="null: by a token of a log-in.")]
