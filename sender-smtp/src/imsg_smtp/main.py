"""The wiring of sender-smtp: history, the server, the channel."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from imsg_contract.wire import Again, Blocked
from imsg_delivery.attachment_client import AttachmentClient
from imsg_delivery.sender import Sender, make_sender
from imsg_runtime import service_client
from imsg_runtime.responses import refuse_every_url
from imsg_runtime.service import Service
from imsg_runtime.service_client import Apps, Peer
from imsg_runtime.settings import StartError, variable
from imsg_smtp import senders
from imsg_smtp.channel import MailChannel, terms
from imsg_smtp.connections import Connection, connect
from imsg_smtp.pool import Limits, Pool
from imsg_smtp.relay import Relay
from imsg_smtp.rendering import Renderings
from imsg_smtp.replies import DISCONNECTED, PROVIDER
from imsg_smtp.server import Server, Timeouts
from imsg_smtp.settings import Settings, Smtp

__all__ = ["Settings", "Smtp", "Timeouts", "app", "open_channel", "try_server"]


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    remedy = f"set {variable('smtp', 'host')} and {variable('smtp', 'sender')}"
    open_parts = partial(_open_parts, apps={} if apps is None else apps)
    return make_sender("smtp", Settings, settings, open_parts, remedy=remedy, reads_history=True)


async def _open_parts(sender: Sender, settings: Settings, apps: Apps) -> ASGIApp:
    enter = sender.stack.enter_async_context
    history = await enter(service_client.connect(settings.history_url, settings.service_key, apps))
    sender.work(await enter(open_channel(settings.smtp, history)))
    return refuse_every_url  # no URL of its own yet; bounces come in here one day


@asynccontextmanager
async def open_channel(
    smtp: Smtp, history: Peer, *, timeouts: Timeouts | None = None, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[MailChannel]:
    """Open the channel alone; no connection is made before the first mail. Raises StartError for a bad CA_FILE."""
    sender = senders.parse(smtp.sender)
    server = await _server(smtp, sender.domain)
    connecting = partial(connect, server, timeouts or Timeouts())
    pool = Pool(connecting, server.scope, Limits(connections=smtp.connections), clock)
    relay = Relay(server.scope, pool, clock)
    try:
        attachments = AttachmentClient(history, PROVIDER, kind="attachment")
        yield MailChannel(relay, Renderings(attachments, sender), terms(smtp.connections, smtp.uncertain))
    finally:
        await relay.close()


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
