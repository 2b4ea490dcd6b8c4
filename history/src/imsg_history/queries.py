"""The queries and bodies that history takes. Their fields are read by `query_fields`, which refuses what is wrong."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from imsg_channels import METHODS, require_method
from imsg_contract.errors import Refusal
from imsg_contract.wire import Status
from imsg_history.ids import Name
from imsg_history.pagination import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MessagePosition,
    TimePosition,
    read_limit,
    read_message_cursor,
    read_time_cursor,
)
from imsg_history.query_fields import (
    read_address,
    read_code,
    read_key,
    read_method,
    read_name,
    read_part,
    read_reference,
    read_status,
    read_statuses,
    read_time,
)
from imsg_history.records import MAX_CODE, MAX_NAME, MAX_REFERENCE
from imsg_web.request_models import RequestModel
from imsg_web.responses import refuse_value
from imsg_web.schemas import AsksTotal, read_whole_number

MAX_BUCKETS = 1_000
"""Hours or days of one answer of statistics."""

MAX_WAIT_S = 60
"""Seconds that an answer may wait for a request to settle."""

WINDOW = 10_000
"""Messages that one page searches for a part of a recipient: no index knows parts."""

COMPLAINT = "complaint"
"""The code of a complaint, and what its line of the timeline shows as status: the message's own stays."""

SHOWN_IN_V1: Mapping[str, Status] = {
    Status.SCHEDULED: Status.QUEUED,
    Status.HELD: Status.QUEUED,
    Status.CANCELLED: Status.EXPIRED,
    COMPLAINT: Status.DELIVERED,
}
"""Statuses that v1 has not → what it shows in their place."""

WAITING = (Status.SCHEDULED, Status.HELD)
"""The statuses of what scheduler keeps."""

V1_STATUSES = tuple(status for status in Status if status not in SHOWN_IN_V1)

_NO_NUL = r"^[^\u0000]*$"
_BEFORE = "`next` of the page before."
_ID = "^[0-9a-fA-F]{32}(-(0|[1-9][0-9]{0,8}))?$"


def _text(**schema: Any) -> WithJsonSchema:  # noqa: ANN401  a JSON schema
    return WithJsonSchema({"type": "string", **schema})


def _read_named_time(text: str, info: ValidationInfo) -> datetime:
    return read_time(text, info.field_name or "")


def _refuse_bucket(text: str) -> str:
    if text not in {"hour", "day"}:
        raise refuse_value("bucket", "应为 hour 或 day", "it must be hour or day")
    return text


def _read_v1_status(text: str) -> str:
    return read_status(text, V1_STATUSES)


def _refuse_state(text: str) -> str:
    if text not in WAITING:
        raise refuse_value("state", f"应为 {' 或 '.join(WAITING)}", f"it must be {' or '.join(WAITING)}")
    return text


MessageName = Annotated[Name | None, BeforeValidator(read_name)]
MethodName = Annotated[str | None, BeforeValidator(read_method), _text(enum=[*METHODS])]
Username = Annotated[
    str | None, _text(pattern=_NO_NUL, description="The user, for administrators; default: all users.")
]
Time = Annotated[
    datetime | None,
    BeforeValidator(_read_named_time),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "number", "minimum": 0, "maximum": 253_402_300_799},
            ],
            "description": "RFC 3339, or Unix seconds.",
        }
    ),
]
Limit = Annotated[
    int, BeforeValidator(read_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT})
]
MessageCursor = Annotated[
    MessagePosition | None,
    BeforeValidator(read_message_cursor),
    _text(pattern="^([A-Za-z0-9_-]{27}=?)?$", description=_BEFORE),
]
TimeCursor = Annotated[
    TimePosition | None,
    BeforeValidator(read_time_cursor),
    _text(pattern="^(A[A-Za-z0-3][A-Za-z0-9_-]{30})?$", description=_BEFORE),
]


class V1MessagesQuery(BaseModel):
    """The query of v1's GET /api/query."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[
        MessageName, _text(pattern=_ID, description="A request's id, or one message's, which adds its time-line.")
    ] = None
    username: Username = None
    method: MethodName = None
    status: Annotated[
        str | None, BeforeValidator(_read_v1_status), _text(enum=[status.value for status in V1_STATUSES])
    ] = None
    to: Annotated[
        str | None,
        BeforeValidator(lambda text: read_address(text, "to")),
        _text(minLength=1, pattern=_NO_NUL, description="An address, as written or in its normal form."),
    ] = None
    since: Time = None
    until: Time = None
    limit: Limit = DEFAULT_LIMIT
    cursor: MessageCursor = None

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Any of these; none: all."""
        return tuple(status for status in Status if self.status and SHOWN_IN_V1.get(status, status) == self.status)


class MessagesQuery(V1MessagesQuery):
    """The query of GET /api/v2/messages and /api/v2/requests."""

    status: Annotated[
        str | None,
        BeforeValidator(read_statuses),
        _text(
            pattern="^({0})(,({0}))*$".format("|".join(status.value for status in Status)),
            description="One, or several with commas between them.",
        ),
    ] = None
    reference: Annotated[
        str | None,
        BeforeValidator(read_reference),
        _text(
            minLength=1,
            maxLength=MAX_REFERENCE,
            pattern=_NO_NUL,
            description="What the client called its requests.",
        ),
    ] = None
    code: Annotated[
        str | None,
        BeforeValidator(read_code),
        _text(minLength=1, maxLength=MAX_CODE, pattern=_NO_NUL, description="An error's code, as `error.code` has it."),
    ] = None
    key: Annotated[
        str | None,
        BeforeValidator(read_key),
        _text(minLength=1, maxLength=MAX_NAME, pattern=_NO_NUL, description="The name of the API key that sent it."),
    ] = None
    part: Annotated[
        str | None,
        BeforeValidator(read_part),
        _text(
            minLength=1,
            pattern=_NO_NUL,
            description=(
                "A part of a recipient, whatever its case; of a phone number, its digits. No index knows parts: each "
                f"page is sought among {WINDOW} messages, and may hold few or none while `next` leads on."
            ),
        ),
    ] = None
    total: AsksTotal = 0

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Any of these; none: all."""
        return tuple(dict.fromkeys(map(Status, self.status.split(",")))) if self.status else ()


class RequestsQuery(MessagesQuery):
    """The query of GET /api/v2/requests."""

    state: Annotated[
        str | None,
        BeforeValidator(_refuse_state),
        _text(enum=[*WAITING], description="Those that wait for their time or a window; in place of `status`."),
    ] = None

    @property
    def statuses(self) -> tuple[Status, ...]:
        """Any of these; none: all."""
        return super().statuses if self.state is None else (Status(self.state),)


class RepliesQuery(BaseModel):
    """The query of GET /api/v2/replies."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[MessageName, _text(pattern=_ID, description="Those that answer a request, or one message of it.")] = (
        None
    )
    username: Username = None
    method: MethodName = None
    sender: Annotated[
        str | None,
        Field(alias="from"),
        BeforeValidator(lambda text: read_address(text, "from")),
        _text(minLength=1, pattern=_NO_NUL, description="Who wrote them: a number, or as it was written to."),
    ] = None
    since: Time = None
    until: Time = None
    limit: Limit = DEFAULT_LIMIT
    cursor: TimeCursor = None
    total: AsksTotal = 0


class StatsQuery(BaseModel):
    """The query of GET /api/v2/stats."""

    model_config = ConfigDict(frozen=True)

    username: Username = None
    since: Time = None
    until: Time = None
    bucket: Annotated[
        Literal["hour", "day"],
        BeforeValidator(_refuse_bucket),
        _text(enum=["hour", "day"], description=f"From `since` to `until` there may be 1 to {MAX_BUCKETS}."),
    ] = "day"


class RequestQuery(BaseModel):
    """The query of GET /api/v2/requests/ID."""

    model_config = ConfigDict(frozen=True)

    wait: Annotated[
        int,
        Field(ge=0, le=MAX_WAIT_S, description="For how many seconds the answer may wait until all is settled."),
        BeforeValidator(read_whole_number),
    ] = 0


class TimePageQuery(BaseModel):
    """The query of GET /api/v2/dead and /api/v2/erasures."""

    model_config = ConfigDict(frozen=True)

    limit: Limit = DEFAULT_LIMIT
    cursor: TimeCursor = None


class AuditQuery(BaseModel):
    """The query of GET /api/v2/audit."""

    model_config = ConfigDict(frozen=True)

    actor: Annotated[str | None, _text(pattern=_NO_NUL, description="The user who did it.")] = None
    action: Annotated[str | None, _text(pattern=_NO_NUL, description="What was done, such as `login`.")] = None
    target: Annotated[str | None, _text(pattern=_NO_NUL, description="To what, such as a username or an id.")] = None
    since: Time = None
    until: Time = None
    limit: Limit = DEFAULT_LIMIT
    cursor: TimeCursor = None
    total: AsksTotal = 0


def _read_address(given: object) -> object:
    if given is None:
        raise Refusal("missing", field="to")
    if not isinstance(given, str):
        raise Refusal("recipients_invalid", why_zh="to 应是一个地址", why_en="to must be one address")
    return given


class NewErasure(RequestModel):
    """POST /api/v2/erasures: the person whose data is to be erased."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "smtp", "to": "zhang.san@example.com"}]})

    method: Annotated[str, BeforeValidator(require_method), _text(enum=[*METHODS])]
    to: Annotated[str, BeforeValidator(_read_address), _text(description="One address; of mail, in whatever case.")]
