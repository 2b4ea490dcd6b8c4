"""WeChat's calls of an account's webhook: signed, encrypted in safe mode, and repeated until they are reply."""

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
"""The name of a list element, and its items."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class HookReply:
    """Whether the webhook reply, and the text of its passive reply."""

    ok: bool
    reply: str | None = None


class Pusher:
    """Calls the webhooks of all accounts."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(PUSHES_AT_ONCE)
        self._later: set[asyncio.Task[None]] = set()

    async def push(
        self, account: Account, openid: str, fields: Mapping[str, str], items: Items | None = None
    ) -> HookReply:
        """Push one message or event, at most three times; each attempt has a new signature."""
        body = _write_xml(
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
                reply = await self._try_push(account, openid, body)
                if reply is not None:
                    return reply
        log.warning("wechat_push_given_up", account=account.name)
        return HookReply(ok=False)

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
        """Cancel the pushes that wait."""
        for task in list(self._later):
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    async def _try_push(self, account: Account, openid: str, body: bytes) -> HookReply | None:
        timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**10))
        query = {"signature": sign([account.token, timestamp, nonce]), "timestamp": timestamp, "nonce": nonce}
        query["openid"] = openid
        envelope = None if account.aes_key is None else Envelope(account.aes_key, account.appid)
        if envelope is not None:
            encrypted = envelope.seal(body)
            query["encrypt_type"] = "aes"
            query["msg_signature"] = sign([account.token, timestamp, nonce, encrypted])
            body = _write_xml({"ToUserName": account.original_id, "Encrypt": encrypted})
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._client.post(
                    f"/hooks/wechat/{account.name}", params=query, content=body, headers={"Content-Type": "text/xml"}
                )
            if answer.status_code != httpx.codes.OK:
                return None
            return HookReply(ok=True, reply=_read_reply(answer.content, account, envelope))
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.info("wechat_push_unanswered", account=account.name, why=type(error).__name__)
            return None


@asynccontextmanager
async def pushing(hooks_url: str, apps: Apps) -> AsyncIterator[Pusher]:
    """Open a pusher to the webhooks below a URL; over ASGI where `apps` has its host."""
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


def _write_xml(fields: Mapping[str, str], items: Items | None = None) -> bytes:
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


def _read_reply(body: bytes, account: Account, envelope: Envelope | None) -> str | None:
    """Read the text of a passive reply. Raises ValueError where WeChat shows a failure."""
    if body.strip() in (b"", b"success"):
        return None
    fields = _read_fields(body)
    if envelope is not None:
        words = [account.token, fields.get("TimeStamp", ""), fields.get("Nonce", ""), fields.get("Encrypt", "")]
        if fields.get("MsgSignature") != sign(words):
            raise ValueError("the reply is not signed right")
        fields = _read_fields(envelope.open(fields["Encrypt"]))
    if fields.get("FromUserName") != account.original_id or fields.get("MsgType") != "text":
        raise ValueError("the reply is not a text of this account")
    return fields.get("Content")


def _read_fields(body: bytes) -> dict[str, str]:
    try:
        return {child.tag: child.text or "" for child in fromstring(body, forbid_dtd=True)}
    except (ParseError, DefusedXmlException) as error:
        raise ValueError("the reply is no XML") from error
