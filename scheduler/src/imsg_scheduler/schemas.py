"""The bodies and answers of scheduler's routes."""

from typing import Annotated

from pydantic import ConfigDict, Field

from imsg_contract.send_times import EXAMPLE
from imsg_web.request_models import RequestModel
from imsg_web.schemas import Success


class NewTime(RequestModel):
    """PATCH /api/v2/requests/ID: another time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"send_at": EXAMPLE}]})

    send_at: Annotated[
        str,
        Field(description="RFC 3339 with an offset, at most 30 days ahead.", json_schema_extra={"format": "date-time"}),
    ]


class MovedAnswer(Success):
    """The request waits for its new time."""

    id: str
    due_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class ReleasedAnswer(Success):
    """The request is due at once."""

    id: str


class HeldBy(RequestModel):
    """POST /api/v2/requests/release: which window's."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"held_by": "sms_marketing"}]})

    held_by: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="The id of a window.")]


class ReleasedCount(Success):
    """So many requests are due at once."""

    released: int
