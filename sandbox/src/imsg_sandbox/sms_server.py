"""A port of its own for the SMS providers' APIs, where SDKs look for them at the root."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from imsg_runtime.settings import StartError, variable
from imsg_web.bodies import InboundLimits
from imsg_web.http import make_protocol
from imsg_web.uvicorn_internals import UvicornServer


@asynccontextmanager
async def serving(host: str, port: int, app: ASGIApp, inbound_limits: InboundLimits) -> AsyncIterator[int]:
    """Serve an app at the root of a port while the context is open; yield the port. Raises StartError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise StartError(
            "{0}:{1} can't be listened on for Aliyun's API ({2}); choose another {3}, or 0 for a free one.",
            host,
            port,
            (error.strerror or str(error)).lower(),
            variable("sandbox", "aliyun_port"),
        ) from error
    config = uvicorn.Config(
        inbound_limits.guard(app),
        http=make_protocol(inbound_limits),
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
