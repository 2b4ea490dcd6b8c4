"""Opening the ways on which bounces come in by mail; each is loaded where it is set, since most have none."""

import asyncio
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from prometheus_client import Gauge

from imsg_delivery.sender import Sender
from imsg_runtime.settings import StartError, variable
from imsg_smtp.bounce_settings import BounceListener, BounceMailbox
from imsg_smtp.bounces.absorb import Bounces
from imsg_smtp.bounces.intake import Intake, make_counter


@dataclass(frozen=True, slots=True)
class Ways:
    """Which ways are set."""

    mailbox: BounceMailbox | None
    listener: BounceListener | None
    domains: Collection[str]
    """Bounce domains, in lower case."""


async def open_ways(ways: Ways, sender: Sender, bounces: Bounces) -> None:
    """Have bounces taken for as long as the service runs.

    Raises StartError where a setting is wrong, or the port is taken.
    """
    if ways.mailbox is None and ways.listener is None:
        return
    counter = make_counter(sender.service.metrics)
    if ways.mailbox is not None:
        from imsg_smtp.bounces.imap import make_trust  # noqa: PLC0415  2 MiB that most do not need
        from imsg_smtp.bounces.mailbox import Reader  # noqa: PLC0415

        tls = await asyncio.to_thread(make_trust, ways.mailbox)
        intake = Intake(bounces, "mailbox", counter)
        reader = Reader(ways.mailbox, tls, sender.redis, intake, secrets.token_hex(8))
        sender.service.warn("bounce_mailbox", reader.warnings)
        reading = Gauge(
            "imsg_bounce_mailbox_read",
            "1 where this process reads the bounce mailbox; one of all does",
            registry=sender.service.metrics,
        )
        reading.set_function(lambda: float(reader.is_reading))
        sender.service.watch(reader.run(), "bounce mailbox")
    if ways.listener is not None:
        if not ways.domains:
            domain, port = variable("smtp", "bounce_domain"), variable("smtp", "bounce_listener", "port")
            raise StartError(
                f"{domain} is not set, and {port} is: set the domain whose MX leads there, or unset the port."
            )
        from imsg_smtp.bounces.listener import Addresses, Listener  # noqa: PLC0415  3 MiB

        listener = Listener(ways.listener, Addresses(ways.domains, bounces.knows), Intake(bounces, "listener", counter))
        await sender.stack.enter_async_context(listener.listening())


async def try_mailbox(where: BounceMailbox, timeout_s: float) -> str | None:
    """Log in to the mailbox and open its folder; return what keeps it from that, as a sentence. Raises StartError."""
    from imsg_smtp.bounces.imap import make_trust  # noqa: PLC0415
    from imsg_smtp.bounces.mailbox import look  # noqa: PLC0415

    return await asyncio.to_thread(lambda: look(where, make_trust(where), timeout_s))
