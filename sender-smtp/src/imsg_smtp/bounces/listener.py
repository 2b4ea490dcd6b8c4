"""The SMTP listener: accepts mail to `b+TOKEN@` the bounce domain, and relays nothing.

It refuses a recipient without a valid token at RCPT (550 5.1.1), and one of another domain (550 5.7.1). It answers 451
to a mail that can't be kept now, so that the client delivers it again.
It accepts mail to postmaster and abuse (RFC 5321, 4.5.1; RFC 2142): it processes complaints in the form of RFC 5965,
and logs the sender and subject of any other mail.
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

from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.settings import StartError, variable
from imsg_smtp.bounce_settings import BounceListener, File
from imsg_smtp.bounces.ingest import RETRY_LATER, Ingester
from imsg_smtp.bounces.process import Verdict
from imsg_smtp.bounces.smtp_session import BounceHandler, BounceSession, Limits

log = logger(__name__)

CONNECTION_S = 600.0
"""The longest duration of one connection."""

STRESSED_S = 10.0
"""How long a command may take while more than half of the connections are open (as in Postfix under stress)."""

SHUTDOWN_S = 5.0
"""How long mails that are being processed may take once the service stops."""

ROLE_ACCOUNTS = frozenset({"postmaster", "abuse"})

MAX_SHOWN_CHARACTERS = 200
"""How many characters of a mail's From and Subject are logged."""


@dataclass(frozen=True, slots=True)
class RecipientCheck:
    """Decides which recipients the listener accepts."""

    domains: Collection[str]
    """Bounce domains, in lower case."""
    is_token: Callable[[str], bool]
    """Returns whether a local part is `b+TOKEN` with a valid token."""

    def check(self, address: str) -> str:
        """Return the SMTP reply to a recipient."""
        local, _, domain = address.rpartition("@")
        if not local:
            local, domain = domain, ""  # RFC 5321, 4.5.1: postmaster is valid without a domain
        if domain.lower() not in self.domains and (domain or not self.is_role_account(address)):
            return "550 5.7.1 relaying denied"
        if self.is_role_account(address) or self.is_token(local):
            return "250 2.1.5 OK"
        return "550 5.1.1 no such recipient"

    def is_role_account(self, address: str) -> bool:
        """Return whether an address is postmaster's or abuse's."""
        return address.partition("@")[0].lower() in ROLE_ACCOUNTS


@dataclass
class Certificate:
    """The listener's certificate, read again when its file changes: Let's Encrypt's is valid for weeks."""

    cert_file: File
    key_file: File
    _read_at: int = 0
    _context: ssl.SSLContext | None = None
    _problem: RecurringProblem = field(default_factory=lambda: RecurringProblem(log, "bounce_certificate_unreadable"))

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context; the previous one where the files can't be read now, None without one."""
        with self._problem.catch(OSError, ssl.SSLError, file=str(self.cert_file)):
            changed_at = os.stat(self.cert_file).st_mtime_ns  # noqa: PTH116  once a connection, no I/O to wait for
            if changed_at != self._read_at:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.cert_file, self.key_file)
                self._context, self._read_at = context, changed_at
        return self._context


@dataclass
class Listener:
    """Listens on the configured port while the context `listening` is open."""

    settings: BounceListener
    recipients: RecipientCheck
    ingester: Ingester
    replaces: bool = False
    """Whether a set of providers that is retired still listens on the port."""
    sessions: set[BounceSession] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen. Raises StartError where the port can't be bound or the certificate can't be read."""
        certificate = self._certificate()
        host, port = self.settings.host, self.settings.port
        loop = asyncio.get_running_loop()
        try:
            if not self.replaces:  # with `reuse_port` another process that listens there would not be noticed
                (await loop.create_server(asyncio.Protocol, host, port)).close()
            server = await loop.create_server(
                lambda: _Admission(partial(self._accept, certificate)), host, port, reuse_port=True
            )
        except OSError as error:
            raise StartError(
                "{0}:{1} can't be listened on for bounces ({2}); end what uses it, or choose another "
                "{3}: ports below 1024 are root's, and port 25 of the outside can be forwarded to any.",
                host,
                port,
                error.strerror or error,
                variable("smtp", "bounce_listener", "port"),
            ) from error
        log.info("bounces_listened_for", host=host, port=port, domains=sorted(self.recipients.domains))
        try:
            yield
        finally:
            server.close()
            await self._close_sessions()

    def _certificate(self) -> Certificate | None:
        if self.settings.cert_file is None or self.settings.key_file is None:
            return None
        certificate = Certificate(self.settings.cert_file, self.settings.key_file)
        if certificate.context() is None:
            raise StartError(
                "{0} and …__KEY_FILE hold no certificate with its key in PEM form; correct them, or unset both.",
                variable("smtp", "bounce_listener", "cert_file"),
            )
        return certificate

    def _accept(self, certificate: Certificate | None, client: str) -> asyncio.Protocol:
        """Return the protocol of a new connection. One client may hold half of the connections.

        Postfix has the same limit (`smtpd_client_connection_count_limit`).
        """
        settings, count = self.settings, len(self.sessions)
        from_client = sum(session.client == client for session in self.sessions)
        if count >= settings.connections or from_client >= max(settings.connections // 2, 1):
            self.ingester.count("busy")
            return _TooManyConnections()
        is_stressed = count > settings.connections // 2
        limits = Limits(
            message_bytes=settings.max_bytes,
            messages=settings.messages,
            command_s=min(STRESSED_S, settings.timeout_s) if is_stressed else settings.timeout_s,
            connection_s=CONNECTION_S,
        )
        session = BounceSession(
            BounceHandler(self.recipients.check, self._ingest, self.ingester.count),
            min(self.recipients.domains),
            limits,
            certificate.context() if certificate is not None else None,
            self.sessions.discard,
            client=client,
        )
        self.sessions.add(session)
        return session

    async def _ingest(self, content: bytes, recipients: list[str]) -> str:
        """Process a message once for each token among its recipients; return the SMTP reply."""
        own = [address for address in recipients if not self.recipients.is_role_account(address)]
        try:
            for address in own:
                ingested = await self.ingester.ingest(content, [address])
            if not own:
                ingested = await self.ingester.ingest(content, ())
        except RETRY_LATER:
            return "451 4.3.0 can't be kept now, try again later"
        if not own and ingested.verdict is not Verdict.ACCEPTED:
            sender, subject = await asyncio.to_thread(_describe, content)
            log.warning("mail_to_postmaster", by=sender, subject=subject, remedy="nobody reads it; write to them")
        elif ingested.verdict is Verdict.UNKNOWN_TOKEN:
            return "550 5.1.1 no such recipient"
        return "250 2.0.0 kept"

    async def _close_sessions(self) -> None:
        """Close idle sessions at once, the others once their message is answered."""
        for session in [session for session in self.sessions if not session.is_ingesting]:
            session.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                while any(session.is_ingesting for session in self.sessions):  # noqa: ASYNC110  they are many
                    await asyncio.sleep(0.05)
        for session in list(self.sessions):
            session.close()


class _Admission(asyncio.Protocol):
    """Chooses the protocol of a connection by the client's address."""

    def __init__(self, begin: Callable[[str], asyncio.Protocol]) -> None:
        self._accept = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the chosen protocol."""
        address, *_ = transport.get_extra_info("peername") or ("",)
        protocol = self._accept(client_key(str(address)))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


def client_key(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 /64, which belongs to one customer."""
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))


class _TooManyConnections(asyncio.Protocol):
    """Answers 421 and closes the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the reply and close."""
        writable = cast("asyncio.Transport", transport)  # uvloop's class does not inherit from it
        writable.write(b"421 4.3.2 too many connections, try again later\r\n")
        writable.close()


def _describe(content: bytes) -> tuple[str, str]:
    """Return a mail's From and Subject, each of at most MAX_SHOWN_CHARACTERS."""
    head = content[: 64 * 1024]
    message = email.message_from_bytes(head, policy=email.policy.compat32)
    return str(message.get("From", ""))[:MAX_SHOWN_CHARACTERS], str(message.get("Subject", ""))[:MAX_SHOWN_CHARACTERS]
