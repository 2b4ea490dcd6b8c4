"""The queries and bodies that history takes.

A query's fields are texts here: `filters` reads them, with a sentence in both languages for everything that is wrong.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from imsg_channels import METHODS, require_method
from imsg_contract.errors import Refusal
from imsg_contract.wire import Status
from imsg_history.cursors import DEFAULT_LIMIT, MOST
from imsg_history.records import MAX_CODE, MAX_REFERENCE
from imsg_history.statements import WINDOW
from imsg_history.stats import MOST_BUCKETS
from imsg_web.request_models import RequestModel

_NO_NUL = r"^[^\u0000]*$"
_BEFORE = "`next` of the page before."


def _text(**schema: Any) -> WithJsonSchema:  # noqa: ANN401  a JSON schema
    return WithJsonSchema({"type": "string", **schema})


MethodName = Annotated[str | None, _text(enum=[*METHODS])]
Username = Annotated[
    str | None, _text(pattern=_NO_NUL, description="Whose: for administrators, who else see everybody's.")
]
Time = Annotated[
    str | None,
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
Limit = Annotated[str | int, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST})]
MessageCursor = Annotated[str | None, _text(pattern="^([A-Za-z0-9_-]{27}=?)?$", description=_BEFORE)]
RowCursor = Annotated[str | None, _text(pattern="^(A[A-Za-z0-3][A-Za-z0-9_-]{30})?$", description=_BEFORE)]
_ID = "^[0-9a-fA-F]{32}(-(0|[1-9][0-9]{0,8}))?$"


class GivenQuery(BaseModel):
    """A query whose fields are read by `filters`."""

    model_config = ConfigDict(frozen=True)

    def list_given(self) -> Mapping[str, str]:
        """Return the fields that were given, by their names in the URL."""
        return self.model_dump(exclude_unset=True, exclude_none=True, by_alias=True)


class FirstQuery(GivenQuery):
    """The query of v1's GET /api/query."""

    id: Annotated[
        str | None, _text(pattern=_ID, description="A request's id, or one message's, which adds its time-line.")
    ] = None
    username: Username = None
    method: MethodName = None
    status: Annotated[str | None, _text(enum=[status.value for status in Status])] = None
    to: Annotated[
        str | None,
        _text(minLength=1, pattern=_NO_NUL, description="An address, as written or in its normal form."),
    ] = None
    since: Time = None
    until: Time = None
    limit: Limit = DEFAULT_LIMIT
    cursor: MessageCursor = None


class MessagesQuery(FirstQuery):
    """The query of GET /api/v2/messages and /api/v2/requests."""

    status: Annotated[
        str | None,
        _text(
            pattern="^({0})(,({0}))*$".format("|".join(status.value for status in Status)),
            description="One, or several with commas between them.",
        ),
    ] = None
    reference: Annotated[
        str | None,
        _text(
            minLength=1,
            maxLength=MAX_REFERENCE,
            pattern=_NO_NUL,
            description="What the client called its requests.",
        ),
    ] = None
    code: Annotated[
        str | None,
        _text(minLength=1, maxLength=MAX_CODE, pattern=_NO_NUL, description="An error's code, as `error.code` has it."),
    ] = None
    part: Annotated[
        str | None,
        _text(
            minLength=1,
            pattern=_NO_NUL,
            description=(
                "A part of a recipient, whatever its case; of a phone number, its digits. No index knows parts: each "
                f"page is sought among {WINDOW} messages, and may hold few or none while `next` leads on."
            ),
        ),
    ] = None


class RepliesQuery(GivenQuery):
    """The query of GET /api/v2/replies."""

    id: Annotated[str | None, _text(pattern=_ID, description="Those that answer a request, or one message of it.")] = (
        None
    )
    username: Username = None
    method: MethodName = None
    sender: Annotated[
        str | None,
        Field(alias="from"),
        _text(minLength=1, pattern=_NO_NUL, description="Who wrote them: a number, or as it was written to."),
    ] = None
    since: Time = None
    until: Time = None
    limit: Limit = DEFAULT_LIMIT
    cursor: RowCursor = None


class StatsQuery(GivenQuery):
    """The query of GET /api/v2/stats."""

    username: Username = None
    since: Time = None
    until: Time = None
    bucket: Annotated[
        str | None,
        _text(
            enum=["hour", "day"],
            description=f"From `since` to `until` there may be 1 to {MOST_BUCKETS}.",
        ),
    ] = "day"


class DeadLettersQuery(GivenQuery):
    """The query of GET /api/v2/dead."""

    limit: Limit = DEFAULT_LIMIT
    cursor: RowCursor = None


def _read_address(given: object) -> object:
    if given is None:
        raise Refusal("missing", field="to")
    if not isinstance(given, str):
        raise Refusal("recipients_invalid", why_zh="to 应是一个地址", why_en="to must be one address")
    return given


class NewErasure(RequestModel):
    """POST /api/v2/erasures: whose data is to be erased."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "smtp", "to": "zhang.san@example.com"}]})

    method: Annotated[str, BeforeValidator(require_method), _text(enum=[*METHODS])]
    to: Annotated[str, BeforeValidator(_read_address), _text(description="One address; of mail, in whatever case.")]
