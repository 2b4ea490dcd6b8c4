"""Quotas: the list that replaces another, and how a quota is shown, with and without its use."""

from typing import Annotated

from pydantic import AfterValidator, Field

from imsg_auth.schemas.fields import example
from imsg_channels import METHODS
from imsg_limits.quota import Per, QuotaRow, Scope, Unit, name_row
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, Success, Time

MAX_QUOTA = 1_000_000_000

MAX_ROWS = 50
"""Quotas of one list: each costs the step that charges a request about a microsecond."""


def _read_method(method: str | None) -> str | None:
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
        AfterValidator(_read_method),
        Field(description="Absent: whatever the method.", json_schema_extra={"enum": [*METHODS, None]}),
    ] = None
    limit: Annotated[int, Field(ge=0, le=MAX_QUOTA)]

    def make_row(self) -> QuotaRow:
        """Return the row, which always has an id."""
        name = self.id or name_row(self.counts, self.per, self.method)
        return QuotaRow(name, self.counts, self.per, self.limit, self.method)


def _require_distinct(quotas: list[Quota]) -> list[Quota]:
    """Require that no two quotas have one id, or count the same."""
    rows = [quota.make_row() for quota in quotas]
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
    return quotas


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
