"""The JSON that auth takes and answers, as strict models; unknown fields of a request are ignored."""

import base64
import binascii
import ipaddress
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from imsg_auth import usernames
from imsg_auth.store import Role
from imsg_auth.tables import MAX_NAME
from imsg_auth.usernames import MAX_LIMIT
from imsg_channels import METHODS
from imsg_contract.api_keys import SCOPES, SEND, KeyKind
from imsg_limits.quota import PER_DAY, PER_HOUR, Per, QuotaRow, Scope, Unit, name_row
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time

MAX_NAMES = 10_000
PAGE = 50
"""Users of a page, unless the query says."""

DEFAULT_QUOTAS = (PER_HOUR._replace(limit=5), PER_DAY._replace(limit=20))
"""What a new user starts with: the interface document's 默认值 (section 4)."""

MAX_QUOTA = 1_000_000_000
MAX_ROWS = 50
"""Quotas of one list: each costs the step that charges a request about a microsecond."""

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
        raise field_error("应为上一页回答中的 next", "it must be `next` of the page before") from error


def _read_method(method: str | None) -> str | None:
    """Read the name of a channel."""
    if method is not None and method not in METHODS:
        raise field_error(f"只能是 {'、'.join(METHODS)}", f"it must be one of {', '.join(METHODS)}")
    return method


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


class Quota(RequestModel):
    """One quota: a limit of what is counted, of one method or of all."""

    id: Annotated[
        str | None, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Refusals and events name it; absent: made.")
    ] = None
    counts: Unit
    per: Annotated[Per, Field(description="A calendar period of the installation's time zone.")]
    method: Annotated[
        str | None,
        AfterValidator(_read_method),
        Field(description="Absent: whatever the method.", json_schema_extra={"enum": [*METHODS, None]}),
    ] = None
    limit: Annotated[int, Field(ge=0, le=MAX_QUOTA)]


def _require_distinct(quotas: list[Quota]) -> list[Quota]:
    """Require that no two quotas have one id, or count the same."""
    ids = [quota.id or name_row(quota.counts, quota.per, quota.method) for quota in quotas]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise field_error(f"有两项的 id 都是 {twice}，请改掉一个", f"two have the id {twice}; give one of them another")
    counted = [(quota.counts, quota.per, quota.method) for quota in quotas]
    place = next((at for at, what in enumerate(counted) if what in counted[:at]), None)
    if place is not None:
        first, second = ids[counted.index(counted[place])], ids[place]
        raise field_error(
            f"{first} 与 {second} 计的是同一个数，请只留一个", f"{first} and {second} count the same; keep one of them"
        )
    return quotas


class QuotasBody(RequestModel):
    """PUT /api/users/NAME/quotas, PUT /api/quotas: the whole list."""

    model_config = _example(
        {
            "quotas": [
                {"counts": "requests", "per": "hour", "limit": 10_000},
                {"id": "sms-month", "counts": "segments", "per": "month", "method": "sms", "limit": 20_000},
            ]
        }
    )

    quotas: Annotated[list[Quota], Field(max_length=MAX_ROWS), AfterValidator(_require_distinct)]

    def list_rows(self) -> tuple[QuotaRow, ...]:
        """Return the rows, each with an id."""
        return tuple(
            QuotaRow(
                quota.id or name_row(quota.counts, quota.per, quota.method),
                quota.counts,
                quota.per,
                quota.limit,
                quota.method,
            )
            for quota in self.quotas
        )


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


ALL_SCOPES = (*(f"{SEND}{method}" for method in METHODS), *SCOPES)
MAX_NETWORKS = 20
MAX_OVERLAP_S = 86_400


def _check_scopes(scopes: list[str]) -> list[str]:
    if not scopes or any(scope not in ALL_SCOPES for scope in scopes):
        raise field_error(
            f"应为非空的列表，可选 {'、'.join(ALL_SCOPES)}",
            f"it must be a list of one or more of {', '.join(ALL_SCOPES)}",
        )
    return sorted(set(scopes), key=ALL_SCOPES.index)


def _check_networks(networks: list[str]) -> list[str]:
    try:
        return list(dict.fromkeys(str(ipaddress.ip_network(text.strip(), strict=False)) for text in networks))
    except ValueError as error:
        raise field_error(
            "每一项应为 IP 地址或网段，例如 192.0.2.7 或 192.0.2.0/24",
            "each must be an IP address or a network, such as 192.0.2.7 or 192.0.2.0/24",
        ) from error


def _read_time(given: object) -> object:
    """Read RFC 3339 with an offset."""
    try:
        at = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        at = None
    if given is None or (at is not None and at.tzinfo is not None):
        return at
    raise field_error(
        "应为带时区的 RFC 3339 时间，例如 2026-11-25T08:00:00+08:00",
        "it must be an RFC 3339 time with an offset, such as 2026-11-25T08:00:00+08:00",
    )


_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_NETWORK_V4 = rf"{_BYTE}(\.{_BYTE}){{3}}/(3[0-2]|[12]?[0-9])"
_NETWORK_V6 = "(([0-9a-fA-F]{1,4}:){1,7}|:):/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_NETWORK = f"^({_NETWORK_V4}|{_NETWORK_V6})$"
"""Networks as they are usually written; a few more forms of IPv6 are read."""

KeyName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_NAME,
        pattern=r"^[^\u0000-\u001f\u007f]*$",
        description="The program that uses it.",
    ),
]
Scopes = Annotated[
    list[str],
    AfterValidator(_check_scopes),
    Field(
        description="What the key may do, at most what its user may.",
        json_schema_extra={"minItems": 1, "items": {"type": "string", "enum": list(ALL_SCOPES)}},
    ),
]
Networks = Annotated[
    list[str],
    Field(max_length=MAX_NETWORKS),
    AfterValidator(_check_networks),
    Field(
        description="The networks it may be used from; without any, from everywhere.",
        json_schema_extra={
            "items": {
                "anyOf": [
                    {"type": "string", "format": "ipv4"},
                    {"type": "string", "format": "ipv6"},
                    {"type": "string", "pattern": _NETWORK},
                ]
            }
        },
    ),
]
ExpiresAt = Annotated[
    datetime | None,
    BeforeValidator(_read_time),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "description": "When it ends, with an offset; without it, it does not.",
        }
    ),
]


class NewKey(RequestModel):
    """POST /api/keys."""

    model_config = _example({"name": "library system", "kind": "live", "scopes": ["send:smtp", "query"]})

    name: KeyName
    kind: Literal["live"]
    scopes: Scopes
    networks: Networks | None = None
    expires_at: ExpiresAt = None
    username: Annotated[Name | None, Field(description="Whose key it is, if it is not one's own.")] = None


class KeyPatch(RequestModel):
    """PATCH /api/keys/ID: what is absent stays as it is; null takes `networks` and `expires_at` away."""

    model_config = _example({"networks": ["192.0.2.0/24"], "expires_at": None})

    name: KeyName | None = None
    scopes: Scopes | None = None
    networks: Networks | None = None
    expires_at: ExpiresAt = None


class KeyRotation(RequestModel):
    """POST /api/keys/ID/rotate."""

    model_config = _example({"old_valid_s": 3_600})

    old_valid_s: Annotated[
        int, Field(ge=0, le=MAX_OVERLAP_S, description="How many seconds the old key stays valid; 0: it ends at once.")
    ]


class LeakedKey(RequestModel):
    """POST /api/keys/leaked."""

    model_config = _example({"key": "imsg_live_…"})

    key: Annotated[str, Field(max_length=256, json_schema_extra={**_NO_NUL})]


class KeysQuery(BaseModel):
    """The query of GET /api/keys."""

    model_config = ConfigDict(frozen=True)

    limit: PageLimit = PAGE
    cursor: Annotated[str | None, Field(pattern="^[0-9a-f]{32}$", description="`next` of the page before.")] = None


class KeyRecord(AnswerPart):
    """A key, without its secret."""

    id: str
    username: str
    hint: Annotated[str, Field(description="By what one recognizes it: its kind and its last digits.")]
    name: str
    kind: KeyKind
    scopes: list[str]
    networks: Annotated[list[str], Field(description="The networks it may be used from; empty: all.")]
    created_at: Time
    expires_at: Annotated[Time | None, Field(description="null: it does not end.")]
    last_used_at: Annotated[Time | None, Field(description="To some seconds; null: never.")]
    last_used_from: Annotated[str | None, Field(description="The address of the client who used it last.")]


class KeyAnswer(KeyRecord, Success):
    """One key."""


class NewKeyAnswer(Success):
    """A new key."""

    id: str
    key: Annotated[str, Field(description="The key, shown this once.")]


class KeysAnswer(Success):
    """A page of keys, the oldest first."""

    keys: list[KeyRecord]
    next: Annotated[str | None, Field(description="The next page's cursor; null: this is the last page.")]


class OwnKey(AnswerPart):
    """The key by which a call was made."""

    id: str
    name: str
    kind: KeyKind
    scopes: list[str]
    expires_at: Time | None


class KeyLookup(RequestModel):
    """POST /internal/keys/find: whose key a digest is of."""

    user_id: str
    digest: str


class KeyUse(RequestModel):
    """When and from where a key was used last."""

    id: str
    at: Annotated[float, Field(strict=False)]
    """Unix time in seconds."""
    address: Annotated[str, Field(max_length=64)]


class KeyUses(RequestModel):
    """POST /internal/keys/used."""

    uses: Annotated[list[KeyUse], Field(max_length=MAX_NAMES)]


class KeyOwnerAnswer(Success):
    """The user whose key it is, who is now in the user cache."""

    username: str


class UserCacheRequest(RequestModel):
    """POST /internal/mirror."""

    username: str
    token: str | None = None
    """The token that the gateway wants to judge by the entry; None where it only wants to know the user."""


class UserLookup(RequestModel):
    """POST /internal/user."""

    username: str
    method: str


class ContactsLookup(RequestModel):
    """POST /internal/contacts."""

    method: str
    names: Annotated[list[str], Field(max_length=MAX_NAMES)]


class ContactChange(RequestModel):
    """PUT /internal/contacts."""

    username: str
    user_id: str | None = None
    """Whose id the user must have, since a name may be registered again; None: whoever has the name."""
    wechat: Wechat


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


class QuotaShape(AnswerPart):
    """One quota."""

    id: str
    counts: Unit
    per: Per
    method: Annotated[str | None, Field(description="null: whatever the method.")]
    limit: int


class QuotaUsage(QuotaShape):
    """One quota in its current period."""

    scope: Annotated[Scope, Field(description="`all`: the whole installation's, which all users share.")]
    used: int
    left: int
    opens_at: Time


class QuotasAnswer(Success):
    """A list of quotas."""

    quotas: list[QuotaShape]


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
    used_hour: int
    left_hour: Annotated[int | None, Field(description="null: not limited.")]
    used_day: int
    left_day: Annotated[int | None, Field(description="null: not limited.")]
    used_recipients: Annotated[int, Field(description="Recipients of today.")]
    created_at: Time


class UserAnswer(UserRecord, Success):
    """One user."""


class MeAnswer(UserAnswer):
    """Who one is, and by which key one calls."""

    key: Annotated[OwnKey | None, Field(description="null: by a token of a log-in.")]


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


class UserContactAnswer(Success):
    """A user, and the user's contact for a method, null without one."""

    username: str
    user_id: str
    contact: str | None


class UsernamesAnswer(Success):
    """Address → whose it is; those that are nobody's are absent."""

    usernames: dict[str, str]


class ContactsAnswer(Success):
    """Name → address, null where the user has none; unknown users are absent."""

    contacts: dict[str, str | None]
