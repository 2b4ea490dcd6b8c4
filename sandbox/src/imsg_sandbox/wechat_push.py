"""What WeChat sends to an account's webhook: events signed, in safe mode encrypted, repeated until answered."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

import httpx
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from imsg_runtime.logs import logger
from imsg_sandbox.wechat_accounts import Account
from imsg_sandbox.wechat_cipher import Envelope, sign
from imsg_web.callers import Apps

TRIES = 3
TIMEOUT_S = 5.0
PUSHES_AT_ONCE = 16

Items = tuple[str, Sequence[Mapping[str, str]]]
"""The element that lists something, and what."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """What the webhook answered: the text of its passive reply, if it gave one."""

    ok: bool
    reply: str | None = None


class Pusher:
    """Calls the webhooks."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(PUSHES_AT_ONCE)
        self._later: set[asyncio.Task[None]] = set()

    async def push(
        self, account: Account, openid: str, fields: Mapping[str, str], items: Items | None = None
    ) -> Answered:
        """Push one message or event, up to three times; the repeats are the same message, signed anew."""
        body = _xml(
            {
                "ToUserName": account.original_id,
                "FromUserName": openid,
                "CreateTime": str(int(time.time())),
                **fields,
            },
            items,
        )
        async with self._slots:
            for _ in range(TRIES):
                answered = await self._once(account, openid, body)
                if answered is not None:
                    return answered
        log.warning("wechat_push_given_up", account=account.name)
        return Answered(ok=False)

    def push_later(
        self, account: Account, openid: str, fields: Mapping[str, str], after_s: float, items: Items | None = None
    ) -> None:
        """Push in the background."""

        async def push_then() -> None:
            await asyncio.sleep(after_s)
            await self.push(account, openid, fields, items)

        task = asyncio.create_task(push_then())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def close(self) -> None:
        """Drop what is still to be pushed."""
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    async def _once(self, account: Account, openid: str, body: bytes) -> Answered | None:
        timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
        query = {"signature": sign([account.token, timestamp, nonce]), "timestamp": timestamp, "nonce": nonce}
        query["openid"] = openid
        envelope = None if account.aes_key is None else Envelope(account.aes_key, account.appid)
        if envelope is not None:
            encrypted = envelope.seal(body)
            query["encrypt_type"] = "aes"
            query["msg_signature"] = sign([account.token, timestamp, nonce, encrypted])
            body = _xml({"ToUserName": account.original_id, "Encrypt": encrypted})
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._client.post(
                    f"/hooks/wechat/{account.name}", params=query, content=body, headers={"Content-Type": "text/xml"}
                )
            if answer.status_code != httpx.codes.OK:
                return None
            return Answered(ok=True, reply=_reply(answer.content, account, envelope))
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.info("wechat_push_unanswered", account=account.name, why=type(error).__name__)
            return None


@asynccontextmanager
async def pushing(hooks_url: str, apps: Apps) -> AsyncIterator[Pusher]:
    """Open a pusher to the webhooks below a URL; over ASGI where `apps` holds its host."""
    base = httpx.URL(hooks_url)
    transport: httpx.AsyncBaseTransport
    transport = (
        httpx.ASGITransport(apps[base.host], raise_app_exceptions=False)
        if base.host in apps
        else httpx.AsyncHTTPTransport()
    )
    async with httpx.AsyncClient(base_url=base, transport=transport, timeout=TIMEOUT_S) as client:
        pusher = Pusher(client)
        try:
            yield pusher
        finally:
            await pusher.close()


def _xml(fields: Mapping[str, str], items: Items | None = None) -> bytes:
    root = Element("xml")
    for name, value in fields.items():
        SubElement(root, name).text = value
    if items is not None:
        parent = SubElement(root, items[0])
        for item in items[1]:
            child = SubElement(parent, "List")
            for name, value in item.items():
                SubElement(child, name).text = value
    written: bytes = tostring(root, encoding="utf-8")
    return written


def _reply(body: bytes, account: Account, envelope: Envelope | None) -> str | None:
    """Read the text of a passive reply. Raises ValueError where WeChat would show a failure."""
    if body.strip() in (b"", b"success"):
        return None
    found = _fields(body)
    if envelope is not None:
        words = [account.token, found.get("TimeStamp", ""), found.get("Nonce", ""), found.get("Encrypt", "")]
        if found.get("MsgSignature") != sign(words):
            raise ValueError("the reply is not signed right")
        found = _fields(envelope.open(found["Encrypt"]))
    if found.get("FromUserName") != account.original_id or found.get("MsgType") != "text":
        raise ValueError("the reply is no text of this account")
    return found.get("Content")


def _fields(body: bytes) -> dict[str, str]:
    try:
        return {child.tag: child.text or "" for child in fromstring(body, forbid_dtd=True)}
    except (ParseError, DefusedXmlException) as error:
        raise ValueError("the reply is no XML") from error
