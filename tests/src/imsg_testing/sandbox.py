"""The sandbox opened in the test's process: mail sent to it, its inbox, its faults."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from types import MappingProxyType
from typing import Any

import httpx
from aiosmtplib import SMTP

from imsg_sandbox import main
from imsg_web.callers import Apps


class OpenSandbox:
    """A running sandbox."""

    def __init__(self, service: main.Sandbox, client: httpx.AsyncClient) -> None:
        self.service = service
        self.client = client

    @property
    def port(self) -> int:
        """Its SMTP port."""
        assert self.service.smtp_port is not None
        return self.service.smtp_port

    async def inbox(self, **filters: str) -> list[dict[str, Any]]:
        """Return what arrived, the oldest first, whole."""
        heads: list[dict[str, Any]] = []
        before: dict[str, str] = {}
        while True:
            page = await self.get("/sandbox/inbox", **filters, **before)
            heads = page["messages"] + heads
            if page["next"] is None:
                return [head if head["is_whole"] else await self.get(head["url"]) for head in heads]
            before = {"cursor": page["next"]}

    async def list_heads(self, **filters: str) -> list[dict[str, Any]]:
        """Return one page of the inbox."""
        heads: list[dict[str, Any]] = (await self.get("/sandbox/inbox", **filters))["messages"]
        return heads

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        """Return an answer."""
        answer: dict[str, Any] = (await self.client.get(path, params=params)).json()
        return answer

    async def order(self, fault: str, times: int | None = 1, **more: object) -> None:
        """Order a fault, by default of the mail server."""
        order = {"method": "smtp", "fault": fault, "times": times, **more}
        answer = await self.client.put("/sandbox/faults", json=order)
        assert answer.json()["errorCode"] == 0, answer.text

    @asynccontextmanager
    async def speak(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[SMTP]:
        """Return a client of the mail server before its first command; with `tls`, under TLS from the first byte."""
        client = SMTP(
            hostname="127.0.0.1",
            port=self.port,
            local_hostname="client.example",
            timeout=60,
            use_tls=tls is not None,
            start_tls=False,
            tls_context=tls,
        )
        async with client:
            yield client

    async def send(self, mail: EmailMessage) -> None:
        """Send a mail. Raises as aiosmtplib does."""
        async with self.speak() as client:
            await client.send_message(mail)


@asynccontextmanager
async def open_sandbox(
    apps: Apps = MappingProxyType({}),
    host: str = "127.0.0.1",
    services: Mapping[str, Any] = MappingProxyType({}),
    **settings: object,
) -> AsyncIterator[OpenSandbox]:
    """Open a sandbox on a free port; `settings` are those under `IMSG_SANDBOX__`, `services` what it plays."""
    own = {"smtp_port": 0, "smtp_host": "127.0.0.1", **settings}
    service = main.app(main.Settings(host=host, sandbox=main.SandboxSettings.model_validate(own), **services), apps)
    transport = httpx.ASGITransport(service)
    async with service.running(), httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        yield OpenSandbox(service, client)


def mail(
    to: str = "zhang@example.com",
    subject: str = "开会通知",
    text: str = "下午两点半",
    files: Mapping[str, bytes] = MappingProxyType({}),
    others: Sequence[str] = (),
) -> EmailMessage:
    """Build a mail as a careful sender does."""
    message = EmailMessage()
    message["From"] = "imsg@example.com"
    message["To"] = ", ".join([to, *others])
    message["Subject"] = subject
    message["Message-ID"] = "<1@imsg.example>"
    message.set_content(text)
    for name, content in files.items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message
