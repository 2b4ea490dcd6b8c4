"""What reports are asked for, and how they are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from imsg_contract.errors import Refusal
from imsg_history.pagination import DEFAULT_LIMIT, MAX_LIMIT
from imsg_history.queries import Limit, MessagesQuery, TimeCursor
from imsg_history.query_fields import read_time
from imsg_history.schemas import Time
from imsg_web.request_models import RequestModel
from imsg_web.responses import refuse_value
from imsg_web.schemas import AnswerPart, Success

Dimension = Literal["user", "department", "key", "method", "provider", "template", "category", "day", "month"]

USAGE_FILTERS = frozenset({"user", "department", "key", "method", "provider", "template", "category"})
MESSAGE_FILTERS: Mapping[str, str] = {
    "user": "username",
    "method": "method",
    "status": "status",
    "to": "to",
    "reference": "reference",
    "key": "key",
    "code": "code",
}
"""A filter of a report of messages → the field of `MessagesQuery` that it is."""


def _read_body_time(given: object, info: ValidationInfo) -> datetime:
    name = info.field_name or ""
    if given is None:
        raise Refusal("missing", field=name)
    return read_time(given if isinstance(given, str) else "", name)


BodyTime = Annotated[
    datetime, BeforeValidator(_read_body_time), WithJsonSchema({"type": "string", "format": "date-time"})
]


class ReportFilters(RequestModel):
    """Which messages count: all that have each of these."""

    user: str | None = None
    department: str | None = None
    key: str | None = None
    method: str | None = None
    provider: str | None = None
    template: str | None = None
    category: str | None = None
    status: Annotated[str | None, Field(description="Of messages: one, or several with commas between them.")] = None
    to: Annotated[str | None, Field(description="Of messages: their recipient.")] = None
    reference: Annotated[str | None, Field(description="Of messages.")] = None
    code: Annotated[str | None, Field(description="Of messages: an error's code.")] = None


class NewReport(RequestModel):
    """POST /api/v2/reports: what is to be counted or listed, and in which format."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "usage",
                    "by": ["user", "method"],
                    "since": "2026-10-01T00:00:00+08:00",
                    "until": "2026-11-01T00:00:00+08:00",
                    "format": "xlsx",
                },
                {
                    "kind": "messages",
                    "since": "2026-11-24T00:00:00+08:00",
                    "until": "2026-11-25T00:00:00+08:00",
                    "filters": {"method": "sms", "status": "failed"},
                    "format": "csv",
                },
            ]
        }
    )

    kind: Annotated[
        Literal["usage", "messages"],
        Field(description="`usage`: counts, for years; `messages`: a row for each message that is still kept."),
    ]
    by: Annotated[
        tuple[Dimension, ...],
        Field(max_length=9, strict=False, description="Of usage: a row for each of these; without it, the total."),
    ] = ()
    since: BodyTime
    until: Annotated[
        BodyTime, Field(description="The end, not included. Usage counts whole days, the first and the last included.")
    ]
    filters: ReportFilters = ReportFilters()
    format: Literal["json", "csv", "xlsx"] = "json"

    @model_validator(mode="after")
    def _check(self) -> "NewReport":
        """Refuse what its kind does not know. Raises Refusal wrong_type."""
        if self.until <= self.since:
            raise refuse_value("until", "应晚于 since", "it must be later than `since`")
        if len(set(self.by)) < len(self.by):
            raise refuse_value("by", "不能重复", "each may be named once")
        is_usage = self.kind == "usage"
        if self.by and not is_usage:
            raise Refusal(
                "wrong_type",
                field="by",
                why_zh="只用于 usage，请去掉",
                why_en="it is for usage alone; leave it out",
            )
        known = USAGE_FILTERS if is_usage else MESSAGE_FILTERS
        for name in self.chosen_filters():
            if name not in known:
                raise Refusal(
                    "wrong_type",
                    field=f"filters.{name}",
                    why_zh=f"{self.kind} 可用的是 {'、'.join(sorted(known))}",
                    why_en=f"those of {self.kind} are {', '.join(sorted(known))}",
                )
        if not is_usage:
            self.list_messages()
        return self

    def chosen_filters(self) -> dict[str, str]:
        """Return the filters that were given."""
        return {name: value for name, value in self.filters.model_dump().items() if value is not None}

    def list_messages(self, cursor: str = "") -> MessagesQuery:
        """Return the query of a page of the messages. Raises Refusal wrong_type, method_unknown."""
        chosen = {MESSAGE_FILTERS[name]: value for name, value in self.chosen_filters().items()}
        times = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return MessagesQuery.model_validate({**chosen, **times, "limit": str(MAX_LIMIT), "cursor": cursor})


class ReportsQuery(BaseModel):
    """The query of GET /api/v2/reports."""

    model_config = ConfigDict(frozen=True)

    limit: Limit = DEFAULT_LIMIT
    cursor: TimeCursor = None


class ReportBegun(Success):
    """The report is being made: GET /api/v2/reports/{id} says how far it is."""

    id: str


class ReportShape(AnswerPart):
    """A report, and where it is fetched from."""

    id: str
    kind: Literal["usage", "messages"]
    by: list[Dimension]
    since: Time
    until: Time
    timezone: Annotated[str, Field(description="The zone of its days and months.")]
    filters: dict[str, str]
    format: Literal["json", "csv", "xlsx"]
    state: Literal["waiting", "running", "done", "failed"]
    progress: Annotated[int, Field(description="In percent.")]
    rows: Annotated[int, Field(description="How many are written.")]
    created_at: Time
    expires_at: Annotated[Time, Field(description="When it is deleted: 24 h after it was done.")]
    url: Annotated[str | None, Field(description="The path of the file, once it is done, for the same user.")]


class ReportAnswer(ReportShape, Success):
    """One report."""


class ReportsAnswer(Success):
    """A page of the user's reports, newest first."""

    reports: list[ReportShape]
    next: str | None
