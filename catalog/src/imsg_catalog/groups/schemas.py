"""The JSON of groups."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from imsg_catalog.groups.members import Member
from imsg_catalog.groups.store import Group
from imsg_channels import METHODS
from imsg_contract.errors import Refusal
from imsg_web.request_models import HIDE_NULL, NOT_NULL, RequestModel
from imsg_web.responses import field_error, refuse_fields
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time, read_whole_number
from imsg_web.times import read_rfc3339

MAX_AT_ONCE = 10_000
"""Members of one request."""

MAX_PARAMS = 50
MAX_NOTE = 500
MAX_SOURCE = 200
DEFAULT_LIMIT = 50

_NO_NUL = {"pattern": r"^[^\u0000]*$"}


def _refuse_nul(text: str) -> str:
    if "\0" in text:
        raise field_error("不能含 U+0000", "it must not hold U+0000")
    return text


Text = Annotated[str, AfterValidator(_refuse_nul)]


def _read_name(name: str) -> str:
    if name != name.strip() or not name.isprintable() or "/" in name or name in (".", ".."):
        raise field_error("不能含斜杠和控制字符，首尾不能有空格", "it must have no slash, and no blank at either end")
    return name


Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        json_schema_extra={"pattern": r"^[^\s/\u0000]+( [^\s/\u0000]+)*$"},
        description="Unique in the installation.",
    ),
    AfterValidator(_read_name),
]
Note = Annotated[Text, Field(max_length=MAX_NOTE, json_schema_extra=_NO_NUL)]


class NewGroup(RequestModel):
    """POST /api/v2/groups."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "三年级二班", "note": "2026 年秋季"}]})

    name: Name
    shared: Annotated[bool, Field(description="Whether every user may read it and send to it.")] = False
    note: Note = ""


class GroupPatch(RequestModel):
    """PATCH /api/v2/groups/<name>."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"shared": True, "note": "2027 年春季"}]})

    name: Annotated[Name | None, NOT_NULL, HIDE_NULL] = None
    shared: Annotated[bool | None, NOT_NULL, HIDE_NULL] = None
    note: Annotated[Note | None, NOT_NULL, HIDE_NULL] = None


def _read_time(given: object) -> datetime:
    try:
        return read_rfc3339(given if isinstance(given, str) else "")
    except ValueError as error:
        raise field_error("应为带时区的 RFC 3339 时间", "it must be RFC 3339 with its offset") from error


class Consent(RequestModel):
    """That a person agreed to get messages."""

    at: Annotated[datetime, BeforeValidator(_read_time), WithJsonSchema({"type": "string", "format": "date-time"})]
    source: Annotated[
        Text,
        Field(min_length=1, max_length=MAX_SOURCE, json_schema_extra=_NO_NUL, description="Where: a form, a shop."),
    ]


class MemberBody(RequestModel):
    """One person: an address or a username as `to`, or an address for each of several channels."""

    to: Annotated[Text | None, Field(max_length=320, json_schema_extra=_NO_NUL)] = None
    contacts: Annotated[
        dict[str, Annotated[Text, Field(max_length=320)]] | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {
                        "type": "object",
                        "propertyNames": {"enum": [*METHODS]},
                        "additionalProperties": {"type": "string", "maxLength": 320},
                        "minProperties": 1,
                    },
                    {"type": "null"},
                ],
                "description": "Method → address.",
            }
        ),
    ] = None
    params: Annotated[
        dict[Annotated[Text, Field(min_length=1, max_length=64)], Annotated[Text, Field(max_length=1_000)]],
        Field(max_length=MAX_PARAMS, description="Fields of the person, such as the name."),
        WithJsonSchema(
            {
                "type": "object",
                "propertyNames": {"minLength": 1, "maxLength": 64, **_NO_NUL},
                "additionalProperties": {"type": "string", "maxLength": 1_000, **_NO_NUL},
                "maxProperties": MAX_PARAMS,
            }
        ),
    ] = {}  # noqa: RUF012  Pydantic copies it
    language: Annotated[str | None, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$", max_length=35)] = None
    consent: Consent | None = None


class WrongRow(BaseModel):
    """A row that is no member; it is named in the answer, and the others are kept."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    refusal: Refusal


def _catch_errors(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError as error:
        return WrongRow(refusal=refuse_fields(error.errors()))


class NewMembers(RequestModel):
    """POST /api/v2/groups/<name>/members: an invalid row is named in the answer, and the others are kept."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "members": [
                        {
                            "contacts": {"sms": "13711112222", "smtp": "zhang.san@example.com"},
                            "params": {"姓名": "张三", "班级": "三年级二班"},
                            "consent": {"at": "2026-09-01T08:00:00+08:00", "source": "报名表"},
                        }
                    ]
                }
            ]
        }
    )

    members: Annotated[
        list[Annotated[MemberBody, WrapValidator(_catch_errors)]], Field(min_length=1, max_length=MAX_AT_ONCE)
    ]

    def list_rows(self) -> Sequence[MemberBody | WrongRow]:
        """Return the rows, the wrong ones among them."""
        return cast("Sequence[MemberBody | WrongRow]", self.members)


class MembersRemoval(RequestModel):
    """POST /api/v2/groups/<name>/members/remove."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": ["13711112222", "wang.wu"]}]})

    to: Annotated[
        list[Annotated[Text, Field(max_length=320, json_schema_extra=_NO_NUL)]],
        Field(min_length=1, max_length=MAX_AT_ONCE, description="Addresses, of any channel, or usernames."),
    ]


def _refuse_blank(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise field_error(
            "应是地址、字段的内容，或其一部分", "it must be an address, a field's value, or a part of one"
        )
    return text


class GroupsQuery(BaseModel):
    """The query of GET /api/v2/groups."""

    model_config = ConfigDict(frozen=True)

    limit: PageLimit = DEFAULT_LIMIT
    cursor: Annotated[
        Text,
        Field(max_length=64, json_schema_extra=_NO_NUL, description="`next` of the page before."),
    ] = ""


class MembersQuery(BaseModel):
    """The query of GET /api/v2/groups/<name>/members."""

    model_config = ConfigDict(frozen=True)

    find: Annotated[
        str | None,
        AfterValidator(_refuse_blank),
        WithJsonSchema(
            {
                "type": "string",
                "minLength": 1,
                **_NO_NUL,
                "description": "A part of an address or of a field's value, whatever its case.",
            }
        ),
    ] = None
    limit: PageLimit = DEFAULT_LIMIT
    cursor: Annotated[
        int,
        Field(ge=0, le=2**53, description="`next` of the page before."),
        BeforeValidator(read_whole_number),
    ] = 0


class GroupRecipients(RequestModel):
    """POST /internal/groups/recipients: the people of a send."""

    groups: list[str]
    method: str
    most: int
    legs: list[str] = Field(default_factory=list)
    """The methods of further legs, whose addresses are wanted too; gateways of the version before name none."""


class GroupShape(AnswerPart):
    """One group."""

    name: str
    owner: Annotated[str, Field(description="The user who created it.")]
    shared: bool
    note: str
    members: int
    created_at: Time


class GroupAnswer(Success, GroupShape):
    """The group."""


class GroupsAnswer(Success):
    """A page, in the order of the names."""

    groups: list[GroupShape]
    next: str | None


class DeletedGroup(Success):
    """The group and its members are deleted."""


class ConsentShape(AnswerPart):
    """That a person agreed to get messages."""

    at: Time
    source: str | None


class MemberShape(AnswerPart):
    """One person."""

    to: Annotated[str | None, Field(description="The user's name, where the person is known by one.")]
    contacts: dict[str, str]
    params: dict[str, str]
    language: str | None
    consent: ConsentShape | None


class MembersAnswer(Success):
    """A page, in the order in which they were added."""

    members: list[MemberShape]
    total: Annotated[int, Field(description="All members of the group.")]
    next: str | None


class RowProblem(AnswerPart):
    """A row that is no member."""

    row: Annotated[int, Field(description="Its place in `members`; the first one is 0.")]
    detail: str


class AddedMembers(Success):
    """What was added."""

    added: int
    changed: Annotated[int, Field(description="Who was a member already and was replaced, or named twice.")]
    problems: Annotated[list[RowProblem], Field(description="The rows that were left out, and why.")]


class RemovedMembersAnswer(Success):
    """What was removed."""

    removed: int
    unknown: Annotated[list[str], Field(description="Those of `to` that no member has.")]


def show_group(group: Group) -> dict[str, Any]:
    """Return the fields of a group as the API shows it."""
    return {
        "name": group.name,
        "owner": group.username,
        "shared": group.shared,
        "note": group.note,
        "members": group.size,
        "created_at": _time(group.created_ms),
    }


def show_member(member: Member) -> MemberShape:
    """Return a member as the API shows it."""
    contacts = {method: address for method, address in member.contacts.items() if method in METHODS}
    consent = (
        None if member.consent_ms is None else ConsentShape(at=_time(member.consent_ms), source=member.consent_source)
    )
    return MemberShape(
        to=member.contacts.get("to"),
        contacts=contacts,
        params=dict(member.params),
        language=member.language,
        consent=consent,
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)
