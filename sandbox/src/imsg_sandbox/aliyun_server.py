"""Aliyun's API over HTTP: at a path of the sandbox, and at the root of a port of its own, where SDKs look for it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp

from imsg_runtime.settings import StartError, variable
from imsg_sandbox.aliyun import AliyunSms, request_id
from imsg_sandbox.aliyun_signatures import Call, Fault, Gatekeeper, escape
from imsg_sandbox.cut import Cut
from imsg_sandbox.faults import Faults
from imsg_sandbox.sms_api import SmsApi
from imsg_web.bodies import Intake
from imsg_web.http import make_protocol
from imsg_web.responses import Answer
from imsg_web.uvicorn_internals import UvicornServer


class AliyunApi(SmsApi):
    """Aliyun's API as an ASGI app."""

    def __init__(self, gatekeeper: Gatekeeper, service: AliyunSms, faults: Faults) -> None:
        super().__init__(self._admit, faults)
        self._gatekeeper = gatekeeper
        self._service = service

    async def _admit(self, call: Call) -> Response:
        try:
            action = self._gatekeeper.admit(call)
        except Fault as fault:
            said = {"RequestId": request_id(), "HostId": call.headers.get("host", "")}
            return Answer({**said, "Code": fault.code, "Message": fault.message}, fault.status)
        raw = call.body or "&".join(f"{escape(name)}={escape(value)}" for name, value in call.query).encode()
        said_to = await self._service.answer(action, call.parameters, raw)
        return Cut() if said_to.cut else Answer(said_to.content)


@asynccontextmanager
async def serving(host: str, port: int, app: ASGIApp, intake: Intake) -> AsyncIterator[int]:
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
        intake.guard(app),
        http=make_protocol(intake),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
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
