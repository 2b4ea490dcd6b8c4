"""The JSON that auth takes and answers, as strict models; unknown fields of a request are ignored."""

import base64
import binascii
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from imsg_auth import usernames
from imsg_auth.store import Role
from imsg_auth.tables import MAX_NAME
from imsg_auth.usernames import MAX_LIMIT
from imsg_web.request_models import RequestModel
from imsg_web.responses import wrong
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time

MAX_NAMES = 10_000
PAGE = 50
"""Users of a page, unless the query says."""

PER_HOUR = 5
PER_DAY = 20
"""What a new user starts with: the interface document's 默认值 (section 4)."""

Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
RecipientsLimit = Annotated[
    int | str,
    PlainValidator(usernames.recipients_limit),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_LIMIT}, {"const": "none", "type": "string"}],
            "description": 'Recipients a day; "none" takes the limit away.',
        }
    ),
]
MAX_SENDERS = 30

SenderName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]

Senders = Annotated[
    Literal["all"] | Annotated[list[SenderName], Field(max_length=MAX_SENDERS)],
    Field(description="The senders by which the user may send mail, by their names; the default one is everybody's."),
]
_NO_NUL = {"pattern": r"^[^\u0000]*$"}
Name = Annotated[str, AfterValidator(usernames.lookup_form), Field(json_schema_extra={**_NO_NUL})]
AnyPassword = Annotated[str, AfterValidator(usernames.storable), Field(json_schema_extra={**_NO_NUL})]
NewPassword = Annotated[
    str,
    AfterValidator(usernames.storable),
    Field(json_schema_extra={"minLength": usernames.MIN_PASSWORD, "maxLength": usernames.MAX_PASSWORD, **_NO_NUL}),
]
Phone = Annotated[
    str,
    AfterValidator(usernames.phone),
    Field(
        description="E.164, or mainland China's 11 digits. Empty: none.",
        json_schema_extra={"pattern": r"^(1[3-9][0-9]{9}|\+(?!86)[1-9][0-9]{6,14}|\+861[3-9][0-9]{9})?$"},
    ),
]
Email = Annotated[
    str,
    AfterValidator(usernames.email),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "email", "maxLength": 254}, {"type": "string", "const": ""}],
            "description": "Empty: none.",
        }
    ),
]
Wechat = Annotated[
    str,
    AfterValidator(usernames.wechat),
    Field(
        description="A WeChat tag, 9 characters of which the last checks the others, hyphens apart. Empty: none.",
        json_schema_extra={"pattern": "^([0-9A-Za-z-]{9,32})?$"},
    ),
]

NAME_PATTERN = r"^[^:/\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+$"
"""Also kept out, where no pattern can: what reads as an e-mail address, a phone number or a tag."""


_BASE64 = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$"


def _read_cursor(text: str) -> str:
    """Read the name after which a page begins."""
    try:
        return usernames.storable(base64.b64decode(text, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise wrong("应为上一页回答中的 next", "it must be `next` of the page before") from error


def _example(fields: dict[str, object]) -> ConfigDict:
    return ConfigDict(json_schema_extra=lambda schema: schema.update(examples=[fields]))


class Login(RequestModel):
    """POST /api/login."""

    model_config = _example({"username": "li.wei", "password": "correct horse"})

    username: Name
    password: AnyPassword


class Registration(RequestModel):
    """POST /api/register."""

    model_config = _example(
        {"username": "li.wei", "password": "correct horse", "email": "li.wei@example.com", "per_hour": 5, "per_day": 20}
    )

    username: Annotated[
        str,
        AfterValidator(usernames.username),
        Field(
            description=(
                "1 to 64 characters of any script, no control characters, colon or slash, nothing that reads as an "
                "e-mail address, a phone number or a WeChat tag; kept in Unicode's NFC."
            ),
            json_schema_extra={"minLength": 1, "maxLength": MAX_NAME, "pattern": NAME_PATTERN},
        ),
    ]
    password: NewPassword
    phone: Phone | None = None
    email: Email | None = None
    wechat: Wechat | None = None
    role: Role | None = None
    per_hour: Limit | None = None
    per_day: Limit | None = None
    available: bool | None = None


class Modification(RequestModel):
    """POST /api/modify/NAME: these three only."""

    model_config = _example({"per_day": 100, "per_hour": 10, "available": True})

    per_day: Limit
    per_hour: Limit
    available: bool | None = None


class UserPatch(RequestModel):
    """PATCH /api/users/NAME: what is absent or null stays as it is."""

    model_config = _example({"phone": "13800138000", "recipients_per_day": 1_000})

    password: NewPassword | None = None
    phone: Phone | None = None
    email: Email | None = None
    wechat: Wechat | None = None
    role: Role | None = None
    per_hour: Limit | None = None
    per_day: Limit | None = None
    recipients_per_day: RecipientsLimit | None = None
    available: bool | None = None
    may_send_codes: Annotated[bool | None, Field(description="Whether the user may send the category `code`.")] = None
    senders: Senders | None = None


class ProviderPatch(RequestModel):
    """PATCH /api/channels/METHOD/providers/NAME: what is absent or null stays as it is."""

    model_config = _example({"enabled": False})

    enabled: Annotated[bool | None, Field(description="Whether it carries anything.")] = None
    weight: Annotated[
        int | None,
        Field(
            ge=0,
            le=1_000,
            description="Its share beside the others'; 0: only where those say not now.",
        ),
    ] = None


class Logout(RequestModel):
    """POST /api/logout."""

    model_config = _example({"everywhere": False})

    everywhere: bool | None = None


class PasswordChange(RequestModel):
    """POST /api/password."""

    model_config = _example({"old": "correct horse", "new": "battery staple"})

    old: AnyPassword
    new: NewPassword


class UsersQuery(BaseModel):
    """The query of GET /api/users."""

    model_config = ConfigDict(frozen=True)

    search: Annotated[
        str | None,
        AfterValidator(usernames.storable),
        WithJsonSchema({"type": "string", **_NO_NUL, "description": "Part of a name or contact."}),
    ] = None
    limit: PageLimit = PAGE
    cursor: Annotated[
        str | None,
        AfterValidator(_read_cursor),
        WithJsonSchema({"type": "string", "pattern": _BASE64, "description": "`next` of the page before: base64."}),
    ] = None


class UserCacheRequest(RequestModel):
    """POST /internal/mirror."""

    username: str
    token: str | None = None
    """The token that the gateway wants to judge by the entry; None where it only wants to know the user."""


class ContactsLookup(RequestModel):
    """POST /internal/contacts."""

    method: str
    names: Annotated[list[str], Field(max_length=MAX_NAMES)]


class HoldersLookup(RequestModel):
    """POST /internal/holders."""

    method: str
    address: str


class UsernamesLookup(RequestModel):
    """POST /internal/usernames."""

    method: str
    addresses: Annotated[list[str], Field(max_length=MAX_NAMES)]


class ProviderSwitchAnswer(Success):
    """The switch as it is now, in force at the senders within seconds; null: as the settings say."""

    method: str
    name: str
    enabled: bool | None
    weight: int | None


class TokenAnswer(Success):
    """A new token."""

    token: str
    expires_in: Annotated[int, Field(description="Seconds from now.")]


class UserRecord(AnswerPart):
    """A user as administrators, and the user alone, see it; never with the password."""

    id: Annotated[str, Field(description="Immutable; a name that is registered again gets another.")]
    username: str
    role: Role
    phone: Annotated[str | None, Field(description="E.164.")]
    email: str | None
    wechat: Annotated[str | None, Field(description="A WeChat tag.")]
    available: bool
    per_hour: int
    per_day: int
    recipients_per_day: Annotated[int | None, Field(description="null: not limited.")]
    may_send_codes: Annotated[bool, Field(description="Whether the user may send the category `code`.")]
    senders: Senders
    used_hour: int
    left_hour: int
    used_day: int
    left_day: int
    used_recipients: Annotated[int, Field(description="Recipients of today.")]
    created_at: Time


class UserAnswer(UserRecord, Success):
    """One user."""


class UsersAnswer(Success):
    """A page of users, in the order of their names' code points."""

    users: list[UserRecord]
    next: Annotated[str | None, Field(description="The next page's cursor; null: this is the last page.")]


class EventSubscription(RequestModel):
    """Which events of a user's messages somebody wants to hear, as callbacks says."""

    username: str
    user_id: str
    events: int


class HoldersAnswer(Success):
    """Who has the contact."""

    usernames: list[str]


class UsernamesAnswer(Success):
    """Address → whose it is; those that are nobody's are absent."""

    usernames: dict[str, str]


class ContactsAnswer(Success):
    """Name → address, null where the user has none; unknown users are absent."""

    contacts: dict[str, str | None]
