"""An HTTP server that serves an app until a signal, and shuts down in order."""

import asyncio
import os
import resource
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imsg_runtime.settings import StartError, variable
from imsg_web.bodies import InboundLimits
from imsg_web.graceful_shutdown import Server
from imsg_web.http import MAX_MESSAGE_BYTES, make_protocol

UNREADY_BEFORE_CLOSE_S = 3.0
"""How long the port stays open after readiness turns 503, so that load balancers notice."""

READY_PATIENCE_S = 10.0
"""How long a replica waits until it is ready before it opens its port: earlier requests would fail. After that it opens
the port all the same, so that its readiness says what is missing."""

KEEP_ALIVE_S = 35
"""How long an idle connection stays open: longer than HTTP clients keep theirs (httpx 5 s, the JDK's 30 s), so that
they send nothing on a connection that is being closed."""

GRACE_S = 15
"""How long requests in flight may take to end once the port is closed."""

MAX_FILES = 65_536


def listen(host: str, port: int) -> socket.socket:
    """Bind the port and return its socket. Raises StartError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StartError(
            "{0}:{1} can't be listened on ({2}); end what uses it, or choose another {3} or {4}.",
            host,
            port,
            reason.lower(),
            variable("port"),
            variable("host"),
        ) from error
    return sock


@dataclass(frozen=True, slots=True)
class TlsPort:
    """A port that serves HTTPS."""

    sock: socket.socket
    context: ssl.SSLContext


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    inbound_limits: InboundLimits,
    *,
    on_stop: Callable[[], None],
    failure: Awaitable[BaseException],
    on_listening: Callable[[], None] = lambda: None,
    is_ready: Callable[[], bool] = lambda: True,
    unready_s: float = UNREADY_BEFORE_CLOSE_S,
    tls: TlsPort | None = None,
) -> int:
    """Serve an app until SIGTERM, SIGINT or the failure of a part; return the exit code.

    `tls` is served beside the port.

    The port opens once `is_ready` holds, or after READY_PATIENCE_S. On a signal `on_stop` is called at once and every
    answer ends its connection; the port closes `unready_s` later, and requests accepted by then are answered.
    """
    raise_file_limit()
    guarded = inbound_limits.guard(app)
    config = uvicorn.Config(
        guarded if tls is None else demand_https(guarded),
        http=make_protocol(inbound_limits),
        ws_max_size=MAX_MESSAGE_BYTES,
        lifespan="off",
        proxy_headers=False,  # the gateway reads X-Forwarded-For itself
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    server = Server(config)
    loop = asyncio.get_running_loop()
    stop_requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_requested.set)
    stopped = asyncio.create_task(stop_requested.wait())
    failed = asyncio.ensure_future(failure)
    try:
        await _wait_until_ready(is_ready, {stopped, failed})
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn offers no event for it
            await asyncio.sleep(0.005)
        if tls is not None and server.started:
            await server.add_port(tls.sock, tls.context)
        on_listening()
        await asyncio.wait({serving, stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        on_stop()
        server.announce_close()
        if stopped.done():
            await asyncio.sleep(unready_s)
        server.should_exit = True
        await serving
        return 1 if failed.done() else 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        for task in (stopped, failed):
            task.cancel()


HSTS = (b"strict-transport-security", b"max-age=31536000")
"""For a year browsers come by HTTPS alone (RFC 6797); other ports and names of the machine are not spoken for."""


def demand_https(app: ASGIApp) -> ASGIApp:
    """Return an app whose answers by HTTPS tell browsers to come by HTTPS from now on."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), HSTS]}
            await send(message)

        await app(scope, receive, send_on if scope.get("scheme") == "https" else send)

    return answer


def raise_file_limit() -> None:
    """Raise the limit of open files: the usual 1,024 are used up by as many idle connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


async def _wait_until_ready(is_ready: Callable[[], bool], ends: set[asyncio.Future[Any]]) -> None:
    """Wait until the port may open, or one of `ends` is done."""
    patience = time.monotonic() + READY_PATIENCE_S
    while not is_ready() and time.monotonic() < patience:
        done, _ = await asyncio.wait(ends, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
        if done:
            return
