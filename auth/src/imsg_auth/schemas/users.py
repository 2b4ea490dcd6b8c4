"""Users: the bodies by which administrators register and change them, and how they are shown."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from imsg_auth import usernames
from imsg_auth.schemas.fields import NO_NUL, PAGE, NewPassword, Wechat, example
from imsg_auth.schemas.quotas import QuotaUsage
from imsg_auth.tables import MAX_NAME
from imsg_auth.usernames import MAX_LIMIT
from imsg_contract.countries import COUNTRIES
from imsg_contract.roles import Role
from imsg_contract.wire import Category
from imsg_web.request_models import HIDE_NULL, NOT_NULL, RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, AsksTotal, PageLimit, Success, Time, Total

Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]

MAX_SENDERS = 30

SenderName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]

Senders = Annotated[
    Annotated[list[SenderName], Field(max_length=MAX_SENDERS)] | None,
    Field(
        description=(
            "The senders by which the user may send mail, by their names; the default one is everybody's. null: all."
        )
    ),
]

ANY_COUNTRY = "*"
MAX_COUNTRIES = 300


def _check_countries(codes: list[str]) -> list[str]:
    wrong = next((code for code in codes if code not in (ANY_COUNTRY, *COUNTRIES)), None)
    if wrong is not None:
        raise field_error(
            f"{wrong[:16]} 不是国家或地区代码，应如 CN、HK、US；* 表示全部",
            f"{wrong[:16]} is no country; write codes such as CN, HK, US, or * for every one",
        )
    return sorted(set(codes))


Countries = Annotated[
    list[str],
    Field(
        max_length=MAX_COUNTRIES,
        description="The countries that the user may send SMS to, by their ISO 3166 codes; `*`: every one.",
        json_schema_extra={"items": {"type": "string", "enum": [ANY_COUNTRY, *COUNTRIES]}},
    ),
    AfterValidator(_check_countries),
]

Department = Annotated[
    str,
    AfterValidator(usernames.storable),
    Field(min_length=1, max_length=MAX_NAME, description="Reports add up by it.", json_schema_extra={**NO_NUL}),
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

NAME_PATTERN = r"^[^:/\u0000-\u001f\u007f-\u009f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+$"
"""Also kept out, where no pattern can: what reads as an e-mail address, a phone number or a tag."""

_BASE64 = "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$"


def _read_cursor(text: str) -> str:
    """Read the name after which a page begins."""
    try:
        return usernames.storable(base64.b64decode(text, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise field_error("应为上一页回答中的 next", "it must be `next` of the page before") from error


class UserRights(RequestModel):
    """What a user may, beside the document's limits."""

    recipients_per_day: Annotated[Limit | None, Field(description="null: not limited.")] = None
    may_send_codes: Annotated[bool | None, Field(description="Whether the user may send the category `code`.")] = None
    senders: Senders = None
    sms_countries: Annotated[Countries | None, Field(description='null: `["CN"]`.')] = None
    default_category: Annotated[
        Category | None,
        Field(strict=False, description="What the user's messages are in v1, which names none. null: `notice`."),
    ] = None
    department: Department | None = None


class Registration(UserRights):
    """POST /api/register."""

    model_config = example(
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

    model_config = example({"per_day": 100, "per_hour": 10, "available": True})

    per_day: Limit
    per_hour: Limit
    available: bool | None = None


class UserPatch(UserRights):
    """PATCH /api/users/NAME: absent fields don't change; null unsets."""

    model_config = example({"phone": "13800138000", "recipients_per_day": 1_000})

    password: Annotated[NewPassword | None, NOT_NULL, HIDE_NULL] = None
    phone: Phone | None = None
    email: Email | None = None
    wechat: Wechat | None = None
    role: Annotated[Role | None, NOT_NULL, HIDE_NULL] = None
    per_hour: Annotated[Limit | None, Field(description="null: not limited.")] = None
    per_day: Annotated[Limit | None, Field(description="null: not limited.")] = None
    available: Annotated[bool | None, NOT_NULL, HIDE_NULL] = None


class UsersQuery(BaseModel):
    """The query of GET /api/users."""

    model_config = ConfigDict(frozen=True)

    search: Annotated[
        str | None,
        AfterValidator(usernames.storable),
        WithJsonSchema({"type": "string", **NO_NUL, "description": "Part of a name or contact."}),
    ] = None
    limit: PageLimit = PAGE
    cursor: Annotated[
        str | None,
        AfterValidator(_read_cursor),
        WithJsonSchema({"type": "string", "pattern": _BASE64, "description": "`next` of the page before: base64."}),
    ] = None
    total: AsksTotal = 0


class UserRecord(AnswerPart):
    """A user as administrators, and the user alone, see it; never with the password."""

    id: Annotated[str, Field(description="Immutable; a name that is registered again gets another.")]
    username: str
    role: Role
    phone: Annotated[str | None, Field(description="E.164.")]
    email: str | None
    wechat: Annotated[str | None, Field(description="A WeChat tag.")]
    available: bool
    quotas: list[QuotaUsage]
    per_hour: Annotated[int | None, Field(description="null: not limited.")]
    per_day: Annotated[int | None, Field(description="null: not limited.")]
    recipients_per_day: Annotated[int | None, Field(description="null: not limited.")]
    may_send_codes: Annotated[bool, Field(description="Whether the user may send the category `code`.")]
    senders: Senders
    sms_countries: Countries
    default_category: Annotated[Category, Field(description="What the user's messages are in v1, which names none.")]
    department: str | None
    used_hour: int
    left_hour: Annotated[int | None, Field(description="null: not limited.")]
    used_day: int
    left_day: Annotated[int | None, Field(description="null: not limited.")]
    used_recipients: Annotated[int, Field(description="Recipients of today.")]
    created_at: Time


class UserAnswer(UserRecord, Success):
    """One user."""


class UsersAnswer(Success):
    """A page of users, in the order of their names' code points."""

    users: list[UserRecord]
    next: Annotated[str | None, Field(description="The next page's cursor; null: this is the last page.")]
    total: Total
