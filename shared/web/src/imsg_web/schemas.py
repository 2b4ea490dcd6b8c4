"""The bases of request and answer models, and the fields that several of them have."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from imsg_contract import error_responses


class AnswerPart(BaseModel):
    """An object of a response; OpenAPI lists all its fields as required."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Success(AnswerPart):
    """A success."""

    errorCode: Literal[0] = 0  # noqa: N815  the interface's own names
    errorMessage: Literal["OK"] = "OK"  # noqa: N815


class CostShape(AnswerPart):
    """What was paid, or is to be."""

    amount: Annotated[str, Field(description="A decimal string.")]
    currency: Annotated[str, Field(description="ISO 4217.")]
    estimated: Annotated[
        bool, Field(description="Whether the provider has not yet named the amount, or the segments that it charges.")
    ]


def read_whole_number(value: object) -> object:
    """Convert a string of ASCII digits: Pydantic would also accept `+5`, ` 5 ` and `5_0`."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


PageLimit = Annotated[int, Field(ge=1, le=500), BeforeValidator(read_whole_number)]
"""The `limit` of a page: 1 to 500 rows."""

MAX_TOTAL = 10_000
"""Rows up to which a list is counted."""

AsksTotal = Annotated[
    int,
    Field(ge=0, le=1, description="1: count the rows of all pages, too."),
    BeforeValidator(read_whole_number),
]
"""The `total` of a list's query."""

Total = Annotated[
    int | None,
    Field(
        description=(
            f"The rows of all pages, where the query has `total=1`; {MAX_TOTAL + 1}: more than {MAX_TOTAL}. null: not "
            "asked for, or no index counts them by these filters."
        )
    ),
]
"""How many rows a list has."""


def _write_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(_write_time), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time in a response: RFC 3339 in UTC with milliseconds."""


def describe_refusals(*reasons: str, wants_token: bool = True) -> dict[int | str, dict[str, Any]]:
    """Describe what a route may refuse, for FastAPI's `responses`: these reasons and those of every route."""
    token = error_responses.TOKEN if wants_token else ()
    return dict(error_responses.describe((*error_responses.ANY, *token, *reasons)).items())
