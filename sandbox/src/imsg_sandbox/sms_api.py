"""An SMS provider's API over HTTP as an ASGI app: reads a call, plays the fault that was ordered, or answers."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imsg_sandbox.aliyun_signatures import Call, pairs
from imsg_sandbox.body import read_body
from imsg_sandbox.cut import Cut, linger
from imsg_sandbox.faults import HANG_S, Fault, Faults

METHOD = "sms"
MAX_BODY_BYTES = 1024 * 1024


class SmsApi:
    """The app; `answer` is the provider behind it."""

    def __init__(self, answer: Callable[[Call], Awaitable[Response]], faults: Faults) -> None:
        self._answer = answer
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or play the fault that was ordered."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        call = await _read(request)
        answer = await self._struck(request) or await self._answer(call)
        await answer(scope, receive, send)

    async def _struck(self, request: Request) -> Response | None:
        if late := self._faults.strike(METHOD, Fault.LATENCY):
            await asyncio.sleep(late.ms / 1_000)
        if self._faults.strike(METHOD, Fault.HANG):
            await linger(request, HANG_S)
            return Cut()
        if self._faults.strike(METHOD, Fault.RESET_BEFORE):
            return Cut()
        if self._faults.strike(METHOD, Fault.SERVER_ERROR):
            return Response("<html><h1>503 Service Temporarily Unavailable</h1></html>", 503, media_type="text/html")
        return None


async def _read(request: Request) -> Call:
    body = await read_body(request, MAX_BODY_BYTES)
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    form = pairs(body.decode("utf-8", "replace")) if is_form else []
    path = request.scope.get("raw_path", b"/").decode("latin-1")
    return Call(request.method, path, pairs(request.url.query), form, headers, body)
