"""The faults of providers that are called over HTTP: late answers, server errors, and connections that break."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imsg_sandbox.faults import HANG_S, Fault, Faults

POLL_S = 0.1


class BrokenResponse(Response):
    """Begins an answer and ends without it, whereupon the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce a body and send none."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4096")]})


async def play_fault(faults: Faults, method: str, request: Request) -> Response | None:
    """Play the faults that come before a message is accepted.

    Return the answer in place of the provider's; None where the provider is to answer.
    """
    if latency := faults.use(method, Fault.LATENCY):
        await asyncio.sleep(latency.ms / 1_000)
    if faults.use(method, Fault.HANG):
        await _hang(request)
        return BrokenResponse()
    if faults.use(method, Fault.RESET_BEFORE):
        return BrokenResponse()
    if faults.use(method, Fault.SERVER_ERROR):
        return Response("<html><h1>503 Service Temporarily Unavailable</h1></html>", 503, media_type="text/html")
    return None


async def _hang(request: Request) -> None:
    """Wait for HANG_S, or until the caller disconnects."""
    loop = asyncio.get_running_loop()
    until = loop.time() + HANG_S
    while (left_s := until - loop.time()) > 0 and not await request.is_disconnected():  # noqa: ASYNC110  there is no event
        await asyncio.sleep(min(POLL_S, left_s))
