"""The mail server of the sandbox: aiosmtpd with the refusals of real servers."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from imsg_contract.constant_time import equals
from imsg_runtime.settings import StartError, variable
from imsg_sandbox.delivery import Mail, MailDelivery, Silence
from imsg_sandbox.envelope import is_address
from imsg_sandbox.faults import HANG_S

HOSTNAME = "sandbox.imsg.example"

MAX_BYTES = 25 * 1024 * 1024
"""What common providers accept (Gmail, Tencent's exmail: 25 to 50 MiB)."""

MAX_RECIPIENTS = 100

OFFERED = ("250-PIPELINING", "250-ENHANCEDSTATUSCODES")
"""Extensions that aiosmtpd supports without offering them; our replies have enhanced codes."""


class SmtpSettings(BaseModel):
    """Settings of the mail server, `IMSG_SANDBOX__SMTP__…` beside the port."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    max_bytes: int = Field(default=MAX_BYTES, ge=1_024)
    """The size of the largest mail."""
    username: str | None = None
    """The name that senders must log in with. Unset: none."""
    password: SecretStr = SecretStr("")
    """The password that senders must log in with."""
    security: Literal["none", "starttls", "tls"] = "none"
    """How connections are encrypted."""
    certificate: Path | None = None
    """The PEM file of certificate and key, for `starttls` and `tls`."""


@asynccontextmanager
async def serving(host: str, port: int, settings: SmtpSettings, delivery: MailDelivery) -> AsyncIterator[int]:
    """Serve mail while the context is open, and yield the port; port 0 takes a free one. Raises StartError."""
    tls = _load_certificate(settings)
    open_sessions: set[MailSession] = set()

    def begin() -> MailSession:
        return MailSession(Handler(delivery, needs_login=settings.username is not None), settings, tls, open_sessions)

    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(begin, host, port, ssl=tls if settings.security == "tls" else None)
    except OSError as error:
        raise StartError(
            "{0}:{1} can't be listened on for mail ({2}); choose another {3}, or 0 for a free one.",
            host,
            port,
            (error.strerror or str(error)).lower(),
            variable("sandbox", "smtp_port"),
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for session in list(open_sessions):
            session.abort()
        await server.wait_closed()


class Handler:
    """aiosmtpd's handler; its methods return SMTP replies."""

    def __init__(self, delivery: MailDelivery, *, needs_login: bool) -> None:
        self._delivery = delivery
        self._needs_login = needs_login

    async def handle_EHLO(  # noqa: N802  aiosmtpd's name
        self, _: SMTP, session: Session, __: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        """Offer a log-in where there is an account, and no HELP."""
        session.host_name = hostname
        hidden = ("HELP",) if self._needs_login else ("HELP", "AUTH")
        offered = [reply for reply in replies if not reply[4:].startswith(hidden)]
        return [offered[0], *OFFERED, *offered[1:-1], f"250 {offered[-1][4:]}"]

    async def handle_MAIL(  # noqa: N802
        self, _: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Begin a mail; the empty sender of a bounce is valid."""
        if self._needs_login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if address and not is_address(address, utf8=envelope.smtp_utf8):
            return "501 5.1.7 Bad sender address syntax"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient, or refuse it."""
        if not is_address(address, utf8=envelope.smtp_utf8):
            return "501 5.1.3 Bad recipient address syntax"
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Error: too many recipients"
        if refusal := self._delivery.refuse(address):
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: "MailSession", _: Session, envelope: Envelope) -> str:  # noqa: N802
        """Answer the final dot, or break or hang the connection."""
        content = envelope.original_content or b""
        mail = Mail(envelope.mail_from or "", list(envelope.rcpt_tos), content, utf8=envelope.smtp_utf8)
        answer = await self._delivery.accept(mail)
        if isinstance(answer, str):
            return answer
        if answer is Silence.RESET:
            server.reset()
        await asyncio.sleep(HANG_S)  # ends with the connection
        return "421 4.4.2 Error: timeout exceeded"


class MailSession(SMTP):
    """One connection."""

    def __init__(
        self,
        handler: Handler,
        settings: SmtpSettings,
        tls: ssl.SSLContext | None,
        open_sessions: set["MailSession"],
    ) -> None:
        has_starttls = settings.security == "starttls"
        super().__init__(
            handler,
            data_size_limit=settings.max_bytes,
            enable_SMTPUTF8=True,
            hostname=HOSTNAME,
            ident="ESMTP iMSG sandbox",
            tls_context=tls if has_starttls else None,
            require_starttls=has_starttls and settings.username is not None,
            auth_require_tls=has_starttls,
            authenticator=_make_authenticator(settings),
            loop=asyncio.get_running_loop(),
        )
        self._open_sessions = open_sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called again when TLS begins."""
        self._open_sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._open_sessions.discard(self)
        super().connection_lost(error)

    def abort(self) -> None:
        """Close the connection without QUIT."""
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()  # uvloop's class does not inherit from it

    def reset(self) -> None:
        """Cut the connection by RST, as a server that crashes."""
        if self.transport is not None:
            sock: socket.socket = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()


def _make_authenticator(settings: SmtpSettings) -> Callable[[SMTP, Session, Envelope, str, Any], AuthResult]:
    """Return the check of a log-in against the one account."""
    password = settings.password.get_secret_value()

    def authenticate(_: SMTP, __: Session, ___: Envelope, ____: str, data: Any) -> AuthResult:  # noqa: ANN401
        if settings.username is None or not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        name, secret = (part.decode(errors="replace") for part in (data.login, data.password))
        is_right = equals(secret, password) and equals(name, settings.username)
        return AuthResult(success=is_right, handled=False)

    return authenticate


def _load_certificate(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security == "none":
        return None
    name = variable("sandbox", "smtp", "certificate")
    if settings.certificate is None:
        raise StartError("{0} is not set; name a PEM file with certificate and key, or set security to none.", name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certificate)
    except OSError as error:
        raise StartError("{0}: {1} can't be used ({2}); name a PEM file.", name, settings.certificate, error) from error
    return context
