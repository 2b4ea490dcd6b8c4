"""Aliyun's API over HTTP: at a path of the sandbox, and at the root of a port of its own, where SDKs look for it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_runtime.http import Protocol
from imsg_runtime.responses import Answer
from imsg_runtime.settings import StartError, variable
from imsg_runtime.uvicorn_internals import UvicornServer
from imsg_sandbox.aliyun import METHOD, AliyunSms, request_id
from imsg_sandbox.aliyun_signatures import Call, Fault, Gatekeeper, escape, pairs
from imsg_sandbox.cut import Cut, linger
from imsg_sandbox.faults import HANG_S, Faults
from imsg_sandbox.faults import Fault as Ordered

MAX_BODY_BYTES = 1024 * 1024


class AliyunApi:
    """The API as an ASGI app."""

    def __init__(self, gatekeeper: Gatekeeper, service: AliyunSms, faults: Faults) -> None:
        self._gatekeeper = gatekeeper
        self._service = service
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or play the fault that was ordered."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            call = await _read(request)
        except ClientDisconnect:
            return
        answer = await self._struck(request) or await self._answer(call)
        await answer(scope, receive, send)

    async def _struck(self, request: Request) -> Response | None:
        if late := self._faults.strike(METHOD, Ordered.LATENCY):
            await asyncio.sleep(late.ms / 1_000)
        if self._faults.strike(METHOD, Ordered.HANG):
            await linger(request, HANG_S)
            return Cut()
        if self._faults.strike(METHOD, Ordered.RESET_BEFORE):
            return Cut()
        if self._faults.strike(METHOD, Ordered.SERVER_ERROR):
            return Response("<html><h1>503 Service Temporarily Unavailable</h1></html>", 503, media_type="text/html")
        return None

    async def _answer(self, call: Call) -> Response:
        try:
            action = self._gatekeeper.admit(call)
        except Fault as fault:
            said = {"RequestId": request_id(), "HostId": call.headers.get("host", "")}
            return Answer({**said, "Code": fault.code, "Message": fault.message}, fault.status)
        raw = call.body or "&".join(f"{escape(name)}={escape(value)}" for name, value in call.query).encode()
        said_to = await self._service.answer(action, call.parameters, raw)
        return Cut() if said_to.cut else Answer(said_to.content)


async def _read(request: Request) -> Call:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            break
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    form = pairs(bytes(body).decode("utf-8", "replace")) if is_form else []
    path = request.scope.get("raw_path", b"/").decode("latin-1")
    return Call(request.method, path, pairs(request.url.query), form, headers, bytes(body))


@asynccontextmanager
async def serving(host: str, port: int, app: ASGIApp) -> AsyncIterator[int]:
    """Serve an app at the root of a port, which is yielded, for as long as the context lasts. Raises StartError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise StartError(
            f"{host}:{port} can't be listened on for Aliyun's API ({(error.strerror or str(error)).lower()}); "
            f"choose another {variable('sandbox', 'aliyun_port')}, or 0 for a free one."
        ) from error
    config = uvicorn.Config(
        app, http=Protocol, lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = UvicornServer(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn offers no event for it
            await asyncio.sleep(0.005)
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        sock.close()
