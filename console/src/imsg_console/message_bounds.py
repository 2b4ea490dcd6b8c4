"""What comes over a page's socket, bounded before it is parsed: that happens on the loop that everybody shares."""

from starlette.types import Message, Receive, Scope

from imsg_contract.errors import Refusal
from imsg_web import bodies

MESSAGE_BYTES = 4 * 1024 * 1024
"""Of one message of a page: the longest text that a mail takes, in JSON, and a pasted list of ten thousand."""

STRANGERS_BYTES = 16 * 1024
"""The same of whoever has not logged in: there is nothing to say but which page it was."""

MAX_PARTS = 300_000
"""Lists, objects and fields of a message; texts may hold the same signs. A page itself says a dozen."""

TOO_LARGE = 1009
"""RFC 6455, section 7.4.1."""


def bound_socket(receive: Receive, *, is_known: bool) -> Receive:
    """Return a `receive` of a WebSocket that ends with the first message that is beyond its bounds."""

    async def receive_on() -> Message:
        message = await receive()
        said = message.get("text") or message.get("bytes") or ""
        if _is_beyond(said.encode() if isinstance(said, str) else said, is_known=is_known):
            return {"type": "websocket.disconnect", "code": TOO_LARGE}
        return message

    return receive_on


async def bound_post(scope: Scope, receive: Receive, *, is_known: bool) -> Receive:
    """Read a POST of long polling, and return a `receive` that gives it. Raises Refusal too_large, body_incomplete."""
    limit = MESSAGE_BYTES if is_known else STRANGERS_BYTES
    body = await bodies.read(scope, receive, limit)
    # A form (JSONP) would hide its signs behind percent signs; no page of ours writes one.
    if _is_beyond(body, is_known=is_known) or body.startswith(b"d="):
        raise Refusal("too_large", limit=limit)
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def receive_on() -> Message:
        nonlocal message
        given, message = message, None
        return given or await receive()

    return receive_on


def _is_beyond(said: bytes, *, is_known: bool) -> bool:
    if not is_known:
        return len(said) > STRANGERS_BYTES
    return len(said) > MESSAGE_BYTES or sum(map(said.count, (b"[", b"{", b":"))) > MAX_PARTS
