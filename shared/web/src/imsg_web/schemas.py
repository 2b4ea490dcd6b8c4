"""The bases of request and answer models, and the fields that several of them have."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from imsg_contract import error_responses


class AnswerPart(BaseModel):
    """A part of an answer: all its fields are there, and no others."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class Success(AnswerPart):
    """A success."""

    errorCode: Literal[0] = 0  # noqa: N815  the interface's own names
    errorMessage: Literal["OK"] = "OK"  # noqa: N815


def read_whole_number(given: object) -> object:
    """Read decimal digits alone: Pydantic would also take `+5`, ` 5 ` and `5_0`."""
    return int(given) if isinstance(given, str) and given.isascii() and given.isdigit() else given


PageLimit = Annotated[int, Field(ge=1, le=500), BeforeValidator(read_whole_number)]
"""How many rows a page may have."""


def _write_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(_write_time), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time of an answer: RFC 3339 in UTC, to the millisecond."""


def describe_refusals(*reasons: str, wants_token: bool = True) -> dict[int | str, dict[str, Any]]:
    """Describe what a route may refuse, for FastAPI's `responses`: these reasons and those of every route."""
    token = error_responses.TOKEN if wants_token else ()
    return dict(error_responses.describe((*error_responses.ANY, *token, *reasons)).items())
