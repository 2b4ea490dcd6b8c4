"""Where bounces come from: mailboxes that are read, and the SMTP listener. Each is loaded where it is set."""

import asyncio
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from imsg_delivery.sender import Sender
from imsg_runtime.settings import StartError, variable
from imsg_smtp.bounce_settings import BounceListener, BounceMailbox
from imsg_smtp.bounces.ingest import Ingester, make_counter
from imsg_smtp.bounces.process import BounceProcessor

if TYPE_CHECKING:
    from imsg_smtp.bounces.mailbox import Reader


@dataclass(frozen=True, slots=True)
class BounceSources:
    """The sources that are set."""

    mailboxes: Mapping[str, BounceMailbox]
    """By the name of their server."""
    listener: BounceListener | None
    domains: Collection[str]
    """Bounce domains, in lower case."""


async def open_sources(sources: BounceSources, sender: Sender, bounces: BounceProcessor) -> None:
    """Read bounces for as long as the service runs.

    Raises StartError where a setting is wrong, or the port is taken.
    """
    if not sources.mailboxes and sources.listener is None:
        return
    counter = make_counter(sender.service.metrics)
    if sources.mailboxes:
        await _read_mailboxes(sources.mailboxes, sender, Ingester(bounces, "mailbox", counter))
    if sources.listener is not None:
        if not sources.domains:
            domain, port = variable("smtp", "bounce_domain"), variable("smtp", "bounce_listener", "port")
            raise StartError(
                f"{domain} is not set, and {port} is: set the domain whose MX leads there, or unset the port."
            )
        from imsg_smtp.bounces.listener import Addresses, Listener  # noqa: PLC0415  3 MiB

        listener = Listener(
            sources.listener, Addresses(sources.domains, bounces.knows), Ingester(bounces, "listener", counter)
        )
        await sender.stack.enter_async_context(listener.listening())


async def _read_mailboxes(mailboxes: Mapping[str, BounceMailbox], sender: Sender, ingester: Ingester) -> None:
    """Read each mailbox, in this process or another. Raises StartError."""
    from imsg_smtp.bounces.imap import make_trust  # noqa: PLC0415  2 MiB that most do not need
    from imsg_smtp.bounces.mailbox import Reader  # noqa: PLC0415

    readers = []
    reading = Gauge(
        "imsg_bounce_mailbox_read",
        "1 where this process reads the bounce mailbox of a server; one of all does",
        ("server",),
        registry=sender.service.metrics,
    )
    for name, mailbox in mailboxes.items():
        tls = await asyncio.to_thread(make_trust, mailbox)
        reader = Reader(mailbox, tls, sender.redis, ingester, secrets.token_hex(8))
        reading.labels(name).set_function(partial(_is_reading, reader))
        sender.service.watch(reader.run(), f"bounce mailbox of {name}")
        readers.append(reader)
    sender.service.warn("bounce_mailbox", lambda: [warning for one in readers for warning in one.warnings()])


def _is_reading(reader: "Reader") -> float:
    return float(reader.is_reading)


async def try_mailbox(where: BounceMailbox, timeout_s: float) -> str | None:
    """Log in to the mailbox and open its folder; return what keeps it from that, as a sentence. Raises StartError."""
    from imsg_smtp.bounces.imap import make_trust  # noqa: PLC0415
    from imsg_smtp.bounces.mailbox import look  # noqa: PLC0415

    return await asyncio.to_thread(lambda: look(where, make_trust(where), timeout_s))
