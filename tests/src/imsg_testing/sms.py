"""The SMS channel opened for a test: over the sandbox's Aliyun, or over a firm that answers as told."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Receipt, Recipient
from imsg_sms import main as sms

SIGN, TEMPLATE = "天存", "SMS_100000001"

ACCOUNT: Mapping[str, Any] = {
    "access_key_id": "LTAI-test",
    "access_key_secret": "a secret",
    "sign_name": SIGN,
    "template": TEMPLATE,
    "hook_secret": "nobody-can-guess-this",
}


def job(numbers: list[str], content: Any = "明天下雨", **fields: Any) -> Job:  # noqa: ANN401
    """Make a job for these numbers."""
    now = datetime.now(UTC)
    given: dict[str, Any] = {
        "request": secrets.token_hex(16),
        "username": "zhang",
        "method": "sms",
        "lane": Lane.SINGLE if len(numbers) == 1 else Lane.BULK,
        "content": content,
        "recipients": tuple(Recipient(n=n, to=to, address=to) for n, to in enumerate(numbers)),
        "accepted_at": now,
        "expires_at": now + timedelta(hours=1),
    }
    return Job(**(given | fields))


class Told(sms.Receipts):
    """Receipts that go nowhere but into a list."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.references: list[str] = []

    async def publish(self, receipt: Receipt) -> None:
        """Keep it."""
        self.receipts.append(receipt)

    async def remember(self, reference: str) -> None:
        """Keep it."""
        self.references.append(reference)


class Firm:
    """A real HTTP server that answers as told: bytes as they are, a number of seconds of silence first, or a cut."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        """The parameters of each call, and `action`, `body`, `path` beside."""
        self.answers: list[Any] = []
        self.always: Any = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen on a free port."""
        clients: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer))
            clients.add(task)
            task.add_done_callback(clients.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = (await reader.readexactly(int(headers.get("content-length") or 0))).decode()
                path = first.split()[1]
                given = {name: values[0] for name, values in parse_qs(urlsplit(path).query or body).items()}
                self.asked.append({**given, "action": headers.get("x-acs-action", ""), "body": body, "path": path})
                answer = self.answers.pop(0) if self.answers else self.always
                if answer == "cut":
                    return
                if isinstance(answer, float):
                    await asyncio.sleep(answer)
                    return
                writer.write(answer if isinstance(answer, bytes) else said(answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def said(content: Any, status: int = 200) -> bytes:  # noqa: ANN401
    """Write an HTTP answer."""
    body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    return f"HTTP/1.1 {status} Any\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def refused(code: str, message: str = "") -> dict[str, str]:
    """Write a business error."""
    return {"RequestId": "R", "Code": code, "Message": message}


OK = {"RequestId": "R", "Code": "OK", "Message": "OK", "BizId": "123^0"}
