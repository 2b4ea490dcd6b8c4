"""An answer that never comes: the connection is cut in its place."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

LOOK_EVERY_S = 0.1


class Cut(Response):
    """Begins an answer and ends without it, whereupon the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise more than comes."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4096")]})


async def linger(request: Request, seconds: float) -> None:
    """Keep the caller waiting, for so long or until it gives up."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left_s := until - loop.time()) > 0 and not await request.is_disconnected():  # noqa: ASYNC110  there is no event
        await asyncio.sleep(min(LOOK_EVERY_S, left_s))
