"""Bodies of requests, bounded in size and in time for whoever reads them."""

import asyncio

from starlette.types import Message, Receive, Scope

from imsg_contract.errors import Refusal

MAX_BODY_BYTES = 16 * 1024 * 1024
"""The interface's limit: 10 MiB of attachments in base64, 1 MiB of text, 10,000 recipients, and room to spare."""

SILENCE_S = 15.0
"""How long a client may pause in the middle of a body."""

UPLOAD_S = 120.0
"""How long a body may take in all: 16 MiB at 1 Mbit/s. Slower is a connection held open, not a client."""

_LONGEST_LENGTH = 12
"""Digits of a Content-Length that is read at all."""


def check_length(declared: str | None, limit: int) -> None:
    """Refuse a body by its Content-Length, before any of it is read. Raises Refusal too_large."""
    if declared and declared.isdecimal() and (len(declared) > _LONGEST_LENGTH or int(declared) > limit):
        raise Refusal("too_large", limit=limit)


def read_declared_length(scope: Scope) -> str | None:
    """Return the Content-Length of a request as it was written."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-length"), None)


def bound(
    receive: Receive, limit: int = MAX_BODY_BYTES, *, silence_s: float = SILENCE_S, upload_s: float = UPLOAD_S
) -> Receive:
    """Return a `receive` that gives a body up: Refusal too_large past `limit` bytes, body_incomplete past its time.

    What comes behind the body, the client's leaving, may take as long as it likes.
    """
    length = 0
    end: float | None = None
    is_over = False

    async def receive_on() -> Message:
        nonlocal length, end, is_over
        if is_over:
            return await receive()
        now = asyncio.get_running_loop().time()
        end = end or now + upload_s
        try:
            async with asyncio.timeout_at(min(now + silence_s, end)):
                message = await receive()
        except TimeoutError as slow:
            raise Refusal("body_incomplete") from slow
        length += len(message.get("body", b""))
        if length > limit:
            raise Refusal("too_large", limit=limit)
        is_over = not message.get("more_body", False)
        return message

    return receive_on


async def read(receive: Receive, limit: int, *, silence_s: float = SILENCE_S, upload_s: float = UPLOAD_S) -> bytes:
    """Read a whole body. Raises Refusal too_large; body_incomplete, also where the client leaves."""
    receive = bound(receive, limit, silence_s=silence_s, upload_s=upload_s)
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal("body_incomplete")
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
