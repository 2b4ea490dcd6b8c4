"""The mail server of the sandbox: its port, its settings, its certificate."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from imsg_runtime.settings import StartError, variable
from imsg_sandbox.delivery import Post
from imsg_sandbox.login import Login
from imsg_sandbox.session import Rules, Session

MAX_BYTES = 25 * 1024 * 1024
"""What common providers take (Gmail, Tencent's exmail: 25 to 50 MiB)."""

BUFFER_BYTES = 256 * 1024


class SmtpSettings(BaseModel):
    """Settings of the mail server, `IMSG_SANDBOX__SMTP__…` beside the port."""

    model_config = ConfigDict(frozen=True)

    max_bytes: int = Field(default=MAX_BYTES, ge=1_024)
    username: str | None = None
    """Where it is set, senders must log in."""
    password: SecretStr = SecretStr("")
    security: Literal["none", "starttls", "tls"] = "none"
    certificate: Path | None = None
    """PEM file of certificate and key, for starttls and tls."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A mail server that is open."""

    host: str
    port: int


@asynccontextmanager
async def serving(host: str, port: int, settings: SmtpSettings, post: Post) -> AsyncIterator[Listening]:
    """Serve mail for as long as the context lasts; port 0 takes a free one. Raises StartError."""
    tls = _certificate(settings)
    login = None if settings.username is None else Login(settings.username, settings.password.get_secret_value())
    rules = Rules(settings.max_bytes, login, tls if settings.security == "starttls" else None)
    sessions: set[asyncio.Task[None]] = set()

    def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(Session(reader, writer, rules, post).run(), name="smtp-session")
        sessions.add(task)
        task.add_done_callback(sessions.discard)

    try:
        server = await asyncio.start_server(
            serve_connection, host, port, limit=BUFFER_BYTES, ssl=tls if settings.security == "tls" else None
        )
    except OSError as error:
        raise StartError(
            f"{host}:{port} can't be listened on for mail ({(error.strerror or str(error)).lower()}); "
            f"choose another {variable('sandbox', 'smtp_port')}, or 0 for a free one."
        ) from error
    try:
        yield Listening(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        ending = list(sessions)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await server.wait_closed()


def _certificate(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security == "none":
        return None
    name = variable("sandbox", "smtp", "certificate")
    if settings.certificate is None:
        raise StartError(f"{name} is not set; name a PEM file with certificate and key, or set security to none.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certificate)
    except OSError as error:
        raise StartError(f"{name}: {settings.certificate} can't be used ({error}); name a PEM file.") from error
    return context
