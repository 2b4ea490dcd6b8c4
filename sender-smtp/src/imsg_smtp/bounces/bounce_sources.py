"""Starts the bounce sources that are configured: readers of mailboxes and the SMTP listener."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from prometheus_client import Gauge

from imsg_delivery.sender import Sender
from imsg_runtime.settings import StartError, variable
from imsg_smtp.bounce_settings import BounceListener, BounceMailbox
from imsg_smtp.bounces.imap import MailboxError, make_tls_context
from imsg_smtp.bounces.ingest import Ingester, make_counter
from imsg_smtp.bounces.listener import Listener, RecipientCheck
from imsg_smtp.bounces.mailbox import MailboxReader, check_mailbox
from imsg_smtp.bounces.process import BounceProcessor
from imsg_smtp.log_in import OAUTH2, LogIn
from imsg_smtp.oauth import OwnToken, TokenSource
from imsg_web.destinations import AddressPolicy


@dataclass(frozen=True, slots=True)
class BounceSources:
    """The configured sources."""

    mailboxes: Mapping[str, BounceMailbox]
    """Name of the mail server → the mailbox of its bounces."""
    listener: BounceListener | None
    domains: Collection[str]
    """Bounce domains, in lower case."""


async def open_sources(
    sources: BounceSources, sender: Sender, bounces: BounceProcessor, find_tokens: Callable[[LogIn], TokenSource]
) -> None:
    """Read bounces for as long as the service runs.

    Raises StartError where a setting is wrong, or the port is taken.
    """
    if not sources.mailboxes and sources.listener is None:
        return
    counter = make_counter(sender.metrics)
    if sources.mailboxes:
        await _read_mailboxes(sources.mailboxes, sender, Ingester(bounces, "mailbox", counter), find_tokens)
    if sources.listener is not None:
        if not sources.domains:
            domain, port = variable("smtp", "bounce_domain"), variable("smtp", "bounce_listener", "port")
            raise StartError(
                "{0} is not set, and {1} is: set the domain whose MX is this host, or unset the port.", domain, port
            )
        listener = Listener(
            sources.listener,
            RecipientCheck(sources.domains, bounces.knows),
            Ingester(bounces, "listener", counter),
            replaces=sender.replaces,
        )
        await sender.stack.enter_async_context(listener.listening())


async def _read_mailboxes(
    mailboxes: Mapping[str, BounceMailbox],
    sender: Sender,
    ingester: Ingester,
    find_tokens: Callable[[LogIn], TokenSource],
) -> None:
    """Start a reader for each mailbox; a lease decides which process reads. Raises StartError."""
    readers = []
    reading = Gauge(
        "imsg_bounce_mailbox_read",
        "1 where this process reads the bounce mailbox of a server; one process of all does",
        ("server",),
        registry=sender.metrics,
    )
    for name, mailbox in mailboxes.items():
        tls = await asyncio.to_thread(make_tls_context, mailbox)
        tokens = find_tokens(mailbox) if mailbox.auth == OAUTH2 else None
        reader = MailboxReader(mailbox, tls, sender.redis, ingester, secrets.token_hex(8), tokens=tokens)
        reading.labels(name).set_function(partial(_is_reading, reader))
        sender.watch(reader.run(), f"bounce mailbox of {name}")
        readers.append(reader)
    sender.warn("bounce_mailbox", lambda: [warning for reader in readers for warning in reader.warnings()])


def _is_reading(reader: MailboxReader) -> float:
    return float(reader.is_reading)


async def try_mailbox(settings: BounceMailbox, destinations: AddressPolicy, timeout_s: float) -> MailboxError | None:
    """Log in to the mailbox and open its folder; return why that failed. Raises StartError."""
    tls = await asyncio.to_thread(make_tls_context, settings)
    tokens = OwnToken(settings, destinations) if settings.auth == OAUTH2 else None
    return await check_mailbox(settings, tls, timeout_s, tokens)
