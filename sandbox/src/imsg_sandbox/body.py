"""A call's body, as far as the sandbox reads one."""

from starlette.requests import Request

from imsg_web import bodies

MAX_BODY_BYTES = 4 * 1024 * 1024
"""A picture of 2 MiB in base64, as WeCom takes it, and room to spare."""


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read a whole body. Raises Refusal too_large, body_incomplete."""
    return await bodies.read(request.scope, request.receive, limit)
