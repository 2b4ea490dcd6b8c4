"""Quotas and caps: the list that replaces another, and how each is shown, a quota with and without its use."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from imsg_auth.schemas.fields import example
from imsg_channels import METHODS
from imsg_contract.wire import Category
from imsg_limits import caps
from imsg_limits.caps import MAX_CAP, CapRow, name_cap
from imsg_limits.quota import Per, QuotaRow, Scope, Unit, name_row
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, Success, Time

MAX_QUOTA = 1_000_000_000

MAX_ROWS = 50
"""Quotas of one list: each costs the step that charges a request about a microsecond."""


def read_method(method: str | None) -> str | None:
    """Read the name of a channel."""
    if method is not None and method not in METHODS:
        raise field_error(f"只能是 {'、'.join(METHODS)}", f"it must be one of {', '.join(METHODS)}")
    return method


class Quota(RequestModel):
    """One quota: a limit of what is counted, of one method or of all."""

    id: Annotated[
        str | None, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Refusals and events name it; absent: made.")
    ] = None
    counts: Unit
    per: Annotated[Per, Field(description="A calendar period of the installation's time zone.")]
    method: Annotated[
        str | None,
        AfterValidator(read_method),
        Field(description="Absent: whatever the method.", json_schema_extra={"enum": [*METHODS, None]}),
    ] = None
    limit: Annotated[int, Field(ge=0, le=MAX_QUOTA)]

    def make_row(self) -> QuotaRow:
        """Return the row, which always has an id."""
        name = self.id or name_row(self.counts, self.per, self.method)
        return QuotaRow(name, self.counts, self.per, self.limit, self.method)


class Cap(RequestModel):
    """One cap: a limit of the messages to one address within any such period."""

    id: Annotated[
        str | None, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Refusals name it; absent: made.")
    ] = None
    method: Annotated[str, AfterValidator(read_method), Field(json_schema_extra={"enum": list(METHODS)})]
    category: Annotated[Category | None, Field(strict=False, description="Absent: whatever the category.")] = None
    scope: Annotated[caps.Scope, Field(description="`user`: what one user sends; `all`: what all users send.")]
    per: Annotated[caps.Per, Field(description="A rolling period: the last 60 seconds, 60 minutes or 24 hours.")]
    limit: Annotated[int, Field(ge=0, le=MAX_CAP)]

    def make_row(self) -> CapRow:
        """Return the row, which always has an id."""
        name = self.id or name_cap(self.method, self.category, self.scope, self.per)
        return CapRow(name, self.method, self.category, self.scope, self.per, self.limit)


Limits = TypeVar("Limits", list[Quota], list[Cap])


def _require_distinct(limits: Limits) -> Limits:
    """Require that no two limits have one id, or count the same."""
    rows = [limit.make_row() for limit in limits]
    for at, row in enumerate(rows):
        if any(row.id == other.id for other in rows[:at]):
            raise field_error(
                f"有两项的 id 都是 {row.id}，请改掉一个", f"two have the id {row.id}; give one of them another"
            )
    for at, row in enumerate(rows):
        if (same := next((other for other in rows[:at] if other.key == row.key), None)) is not None:
            raise field_error(
                f"{same.id} 与 {row.id} 计的是同一个数，请只留一个",
                f"{same.id} and {row.id} count the same; keep one of them",
            )
    return limits


class QuotasBody(RequestModel):
    """PUT /api/users/NAME/quotas, PUT /api/quotas: the whole list."""

    model_config = example(
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
        return tuple(quota.make_row() for quota in self.quotas)


class CapsBody(RequestModel):
    """PUT /api/caps: the whole list."""

    model_config = example(
        {"caps": [{"method": "sms", "category": "code", "scope": "user", "per": "minute", "limit": 1}]}
    )

    caps: Annotated[list[Cap], Field(max_length=MAX_ROWS), AfterValidator(_require_distinct)]

    def list_rows(self) -> tuple[CapRow, ...]:
        """Return the rows, each with an id."""
        return tuple(cap.make_row() for cap in self.caps)


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


class CapShape(AnswerPart):
    """One cap."""

    id: str
    method: str
    category: Annotated[Category | None, Field(description="null: whatever the category.")]
    scope: caps.Scope
    per: caps.Per
    limit: int


class CapsAnswer(Success):
    """The list of caps."""

    caps: list[CapShape]
