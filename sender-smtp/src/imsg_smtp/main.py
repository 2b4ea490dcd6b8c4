"""The wiring of sender-smtp: settings, Redis, broker, history, the channel, the worker."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_contract.wire import Again, Blocked
from imsg_delivery.attachment_client import AttachmentClient
from imsg_delivery.consumer import Worker
from imsg_delivery.standby import idle, is_idle
from imsg_runtime import redis, service_client
from imsg_runtime.responses import speak
from imsg_runtime.service import Service
from imsg_runtime.service_client import Apps, Peer
from imsg_runtime.settings import StartError, load, variable
from imsg_runtime.strength import require_strong
from imsg_smtp import senders
from imsg_smtp.channel import MailChannel, terms
from imsg_smtp.connections import Connection, connect
from imsg_smtp.pool import Limits, Pool
from imsg_smtp.rendering import Renderings
from imsg_smtp.replies import DISCONNECTED, PROVIDER
from imsg_smtp.server import Server, Timeouts
from imsg_smtp.settings import Settings, Smtp

__all__ = ["Settings", "Smtp", "Timeouts", "app", "open_channel", "try_server"]


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    if settings is None and is_idle(Settings, "smtp"):
        return idle("smtp", f"set {variable('smtp', 'host')} and {variable('smtp', 'sender')}")
    chosen = settings or load(Settings)
    if not chosen.service_key:
        raise StartError(f"{variable('service_key')} is not set; give sender-smtp the same one that history has.")
    require_strong(chosen, "service_key", keys=chosen.service_key)

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(chosen, {} if apps is None else apps, service, stack)

    return Service("smtp", chosen, opening)


async def _open_parts(settings: Settings, apps: Apps, service: Service, stack: AsyncExitStack) -> ASGIApp:
    connection = await stack.enter_async_context(redis.connect(settings.redis_url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url))
    history = await stack.enter_async_context(service_client.connect(settings.history_url, settings.service_key, apps))
    channel = await stack.enter_async_context(open_channel(settings.smtp, history))
    worker = Worker(
        channel,
        broker,
        connection,
        metrics=service.metrics,
        stopping=service.stopping,
        life=service.life,
        erasure_keys=settings.erasure_key,
    )
    service.check("broker", lambda: broker.ready)
    service.watch(worker.run(), "worker")
    api = FastAPI(title="iMSG sender-smtp", openapi_url=None)  # no URL of its own yet; bounces come in here one day
    speak(api)
    return api


@asynccontextmanager
async def open_channel(
    smtp: Smtp, history: Peer, *, timeouts: Timeouts | None = None, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[MailChannel]:
    """Open the channel alone; no connection is made before the first mail. Raises StartError for a bad CA_FILE."""
    sender = senders.parse(smtp.sender)
    server = await _server(smtp, sender.domain)
    connecting = partial(connect, server, timeouts or Timeouts())
    pool = Pool(connecting, server.scope, Limits(connections=smtp.connections), clock)
    try:
        attachments = AttachmentClient(history, PROVIDER, kind="attachment")
        yield MailChannel(pool, Renderings(attachments, sender), terms(smtp.connections, smtp.uncertain))
    finally:
        await pool.close()


async def try_server(smtp: Smtp, timeout_s: float) -> Again | Blocked | None:
    """Connect as for a mail, log-in and all, and take leave; return what keeps it from that. Raises StartError."""
    server = await _server(smtp, senders.parse(smtp.sender).domain)
    timeouts = Timeouts(connect_s=timeout_s, greeting_s=timeout_s, command_s=timeout_s, probe_s=timeout_s)
    connection = await connect(server, timeouts)
    if not isinstance(connection, Connection):
        return connection
    try:
        if not await connection.is_alive():
            return Again(PROVIDER, DISCONNECTED, f"{server.scope} took the connection and then fell silent.")
    finally:
        await connection.quit()
    return None


async def _server(smtp: Smtp, hello: str) -> Server:
    return Server(
        host=smtp.host,
        port=smtp.server_port,
        security=smtp.protection,
        hello=hello,
        tls=None if smtp.protection == "none" else await asyncio.to_thread(_trust, smtp.ca_file),
        username=smtp.username,
        password=smtp.password,
    )


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Make the one context of all connections; reading the system's certificates takes a while."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise StartError(
                f"{variable('smtp', 'ca_file')} names {ca_file}, which holds no certificates in PEM form ({error})."
            ) from error
    return context
