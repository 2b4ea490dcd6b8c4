"""Bounds of what comes over a page's socket. They are checked before it is parsed on the event loop."""

from starlette.types import Message, Receive, Scope

from imsg_contract.errors import Refusal
from imsg_web import bodies

MESSAGE_BYTES = 4 * 1024 * 1024
"""Of one message: the longest text of a mail as JSON, or a pasted list of ten thousand."""

STRANGERS_BYTES = 16 * 1024
"""Of one message without a session, which names its page and no more."""

MAX_PARTS = 300_000
"""Signs of lists, objects and fields in a message, where texts count too. A page itself sends a dozen."""

TOO_LARGE = 1009
"""RFC 6455, section 7.4.1."""


def bound_socket(receive: Receive, *, is_known: bool) -> Receive:
    """Return a `receive` of a WebSocket that ends with the first message that is beyond its bounds."""

    async def receive_on() -> Message:
        message = await receive()
        data = message.get("text") or message.get("bytes") or ""
        if _is_beyond(data.encode() if isinstance(data, str) else data, is_known=is_known):
            return {"type": "websocket.disconnect", "code": TOO_LARGE}
        return message

    return receive_on


async def bound_post(scope: Scope, receive: Receive, *, is_known: bool) -> Receive:
    """Read a POST of long polling, and return a `receive` that gives it. Raises Refusal too_large, body_incomplete."""
    limit = MESSAGE_BYTES if is_known else STRANGERS_BYTES
    body = await bodies.read(scope, receive, limit)
    # A form (JSONP) encodes its signs with percent signs; no page of ours posts one.
    if _is_beyond(body, is_known=is_known) or body.startswith(b"d="):
        raise Refusal("too_large", limit=limit)
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def receive_on() -> Message:
        nonlocal message
        first, message = message, None
        return first or await receive()

    return receive_on


def _is_beyond(data: bytes, *, is_known: bool) -> bool:
    if not is_known:
        return len(data) > STRANGERS_BYTES
    return len(data) > MESSAGE_BYTES or sum(map(data.count, (b"[", b"{", b":"))) > MAX_PARTS
