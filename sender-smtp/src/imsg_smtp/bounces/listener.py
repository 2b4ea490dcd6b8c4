"""The SMTP listener: takes mail to `b+TOKEN@` the bounce domain, and is nobody's relay.

A recipient without a true token is refused at RCPT (550 5.1.1), another domain's likewise (550 5.7.1). What can't be
kept for now is asked for again (451), so that the server that sent it keeps it.
Mail to postmaster and abuse is taken, as RFC 5321, 4.5.1 and RFC 2142 want: a complaint in the form of RFC 5965 is
read like any other, and of the rest a line stands in the log, since nobody reads mail here.
"""

import asyncio
import contextlib
import email
import email.policy
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from imsg_runtime.logs import logger
from imsg_runtime.settings import StartError, variable
from imsg_smtp.bounce_settings import BounceListener, File
from imsg_smtp.bounces.ingest import RETRY_LATER, Ingester
from imsg_smtp.bounces.process import Verdict
from imsg_smtp.bounces.smtp_session import BounceSession, Limits, Reception

log = logger(__name__)

CONNECTION_S = 600.0
"""How long one connection may last in whole."""

STRESSED_S = 10.0
"""How long a command may take while more than half of the connections are open (as Postfix does under stress)."""

CLOSE_S = 5.0
"""How long what is being kept may take once the service ends."""

TO_PEOPLE = frozenset({"postmaster", "abuse"})

SHOWN = 200
"""How much of what strangers wrote stands in the log."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Which recipients are ours."""

    domains: Collection[str]
    """Bounce domains, in lower case."""
    is_token: Callable[[str], bool]
    """Tells whether a local part is `b+TOKEN` with a true token."""

    def judge(self, address: str) -> str:
        """Answer to a recipient, as SMTP does."""
        local, _, domain = address.rpartition("@")
        if not local:
            local, domain = domain, ""  # RFC 5321, 4.5.1: postmaster goes without a domain
        if domain.lower() not in self.domains and (domain or not self.is_people(address)):
            return "550 5.7.1 relaying denied"
        if self.is_people(address) or self.is_token(local):
            return "250 2.1.5 OK"
        return "550 5.1.1 no such recipient"

    def is_people(self, address: str) -> bool:
        """Tell whether an address is one that people write to."""
        return address.partition("@")[0].lower() in TO_PEOPLE


@dataclass
class Certificate:
    """The listener's certificate, read anew once its file changes: Let's Encrypt's is good for weeks."""

    cert_file: File
    key_file: File
    _read_at: int = 0
    _context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | None:
        """Return what TLS begins with; the one before, where the files can't be read just now."""
        try:
            changed_at = os.stat(self.cert_file).st_mtime_ns  # noqa: PTH116  once a connection, no I/O to wait for
            if changed_at != self._read_at:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.cert_file, self.key_file)
                self._context, self._read_at = context, changed_at
        except (OSError, ssl.SSLError) as error:
            log.warning("bounce_certificate_unreadable", file=str(self.cert_file), why=str(error))
        return self._context


@dataclass
class Listener:
    """Listens while its context lasts."""

    settings: BounceListener
    addresses: Addresses
    ingester: Ingester
    sessions: set[BounceSession] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen. Raises StartError where the port can't be had, or the certificate can't be read."""
        certificate = self._certificate()
        host, port = self.settings.host, self.settings.port
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(lambda: _Door(partial(self._begin, certificate)), host, port)
        except OSError as error:
            raise StartError(
                f"{host}:{port} can't be listened on for bounces ({error.strerror or error}); end what uses it, or "
                f"choose another {variable('smtp', 'bounce_listener', 'port')}: ports below 1024 are root's, and port "
                "25 of the outside can be led to any."
            ) from error
        log.info("bounces_listened_for", host=host, port=port, domains=sorted(self.addresses.domains))
        try:
            yield
        finally:
            server.close()
            await self._end()

    def _certificate(self) -> Certificate | None:
        if self.settings.cert_file is None or self.settings.key_file is None:
            return None
        certificate = Certificate(self.settings.cert_file, self.settings.key_file)
        if certificate.context() is None:
            raise StartError(
                f"{variable('smtp', 'bounce_listener', 'cert_file')} and …__KEY_FILE hold no certificate with its key "
                "in PEM form; correct them, or unset both."
            )
        return certificate

    def _begin(self, certificate: Certificate | None, client: str) -> asyncio.Protocol:
        """Begin with a client; one alone gets half of the connections (as Postfix has it, smtpd_client_…_limit)."""
        settings, count = self.settings, len(self.sessions)
        of_client = sum(one.client == client for one in self.sessions)
        if count >= settings.connections or of_client >= max(settings.connections // 2, 1):
            self.ingester.count("busy")
            return _Busy()
        is_stressed = count > settings.connections // 2
        limits = Limits(
            message_bytes=settings.max_bytes,
            messages=settings.messages,
            command_s=min(STRESSED_S, settings.timeout_s) if is_stressed else settings.timeout_s,
            connection_s=CONNECTION_S,
        )
        session = BounceSession(
            Reception(self.addresses.judge, self._keep, self.ingester.count),
            min(self.addresses.domains),
            limits,
            certificate.context() if certificate is not None else None,
            self.sessions.discard,
            client=client,
        )
        self.sessions.add(session)
        return session

    async def _keep(self, content: bytes, recipients: list[str]) -> str:
        """Have a message kept; return the answer."""
        own = [address for address in recipients if not self.addresses.is_people(address)]
        try:
            for one in own:
                ingested = await self.ingester.ingest(content, [one])
            if not own:
                ingested = await self.ingester.ingest(content, ())
        except RETRY_LATER as error:
            log.warning("bounce_not_kept", why=str(error) or type(error).__name__)
            return "451 4.3.0 can't be kept for now"
        if not own and ingested.verdict is not Verdict.ACCEPTED:
            sender, subject = await asyncio.to_thread(_describe, content)
            log.warning("mail_to_postmaster", by=sender, subject=subject, remedy="nobody reads it; write to them")
        elif ingested.verdict is Verdict.UNKNOWN_TOKEN:
            return "550 5.1.1 no such recipient"
        return "250 2.0.0 kept"

    async def _end(self) -> None:
        """Close what waits at once, and what is being kept once it is answered."""
        for session in [one for one in self.sessions if not one.is_keeping]:
            session.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while any(session.is_keeping for session in self.sessions):  # noqa: ASYNC110  they are many
                    await asyncio.sleep(0.05)
        for session in list(self.sessions):
            session.leave()


class _Door(asyncio.Protocol):
    """Looks who comes, and leaves the connection to who is to speak with them."""

    def __init__(self, begin: Callable[[str], asyncio.Protocol]) -> None:
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it over."""
        address, *_ = transport.get_extra_info("peername") or ("",)
        protocol = self._begin(name_client(str(address)))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def name_client(address: str) -> str:
    """Name a client by its address; of IPv6 by the /64, which is one customer's."""
    if ":" not in address:
        return address
    read = ipaddress.IPv6Address(address.partition("%")[0])
    if read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return str(ipaddress.IPv6Network((read, 64), strict=False))


class _Busy(asyncio.Protocol):
    """Tells somebody to come again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so, and close."""
        writing = cast("asyncio.Transport", transport)  # uvloop's own is none by name
        writing.write(b"421 4.3.2 too many connections, come again\r\n")
        writing.close()


def _describe(content: bytes) -> tuple[str, str]:
    """Return who wrote, and about what, cut short."""
    head = content[: 64 * 1024]
    message = email.message_from_bytes(head, policy=email.policy.compat32)
    return str(message.get("From", ""))[:SHOWN], str(message.get("Subject", ""))[:SHOWN]
