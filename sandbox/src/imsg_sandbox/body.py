"""The bodies of calls, within a limit."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from imsg_web import bodies
from imsg_web.responses import refuse_field

MAX_BODY_BYTES = 4 * 1024 * 1024
"""A picture of 2 MiB in base64, WeCom's limit, and room to spare."""

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read a whole body. Raises Refusal too_large, body_incomplete."""
    return await bodies.read(request.scope, request.receive, limit)


async def read_model(request: Request, model: type[M], empty: bytes = b"null") -> M:
    """Read a body as JSON, whatever its Content-Type; `empty` is read for an empty one. Raises Refusal."""
    try:
        return model.model_validate_json(await read_body(request) or empty)
    except ValidationError as error:
        raise refuse_field(error.errors()[0]) from error
