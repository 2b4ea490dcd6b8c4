"""The webhook that WeChat calls: GET and POST /hooks/wechat/ACCOUNT, in plain and safe mode."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from imsg_contract.errors import Refusal
from imsg_runtime.logs import logger
from imsg_web import bodies
from imsg_wechat import crypto, replies
from imsg_wechat.nonces import FRESH_S, Nonces, RepeatedCall
from imsg_wechat.receipts import NotPublished
from imsg_wechat.replies import Message, UnreadableXml
from imsg_wechat.webhook import Webhook
from imsg_wechat.webhook_modes import WebhookModes

PATH = "/hooks/wechat/{account}"

MAX_BODY_BYTES = 64 * 1024
ANSWER_WITHIN_S = 4.5
"""WeChat closes the connection after 5 s."""

MAX_ECHO_CHARACTERS = 256

WRONG_MODES = frozenset({("safe", False), ("plain", True)})
"""The refused combinations of the account's mode and whether the call is encrypted."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class HookAccount:
    """The settings of one account that its webhook needs."""

    name: str
    appid: str
    token: str
    key: bytes | None
    """The AES key of safe mode."""
    mode: Literal["any", "plain", "safe"]
    former: Sequence["HookAccount"] = ()
    """The account with each token and key that was replaced lately: WeChat's console may still have those."""


@dataclass(frozen=True, slots=True)
class HookChecks:
    """The checks of a call before its body is read, and the records of calls."""

    nonces: Nonces
    webhook_modes: WebhookModes
    now: Callable[[], float]

    async def check(self, account: HookAccount, request: Request, *, is_safe: bool) -> Sequence[HookAccount]:
        """Check signature, time and mode of a call; return the account that signs it. Raises Refusal forged, stale."""
        signed = [
            version for version in (account, *account.former) if _has_signature(version, request, is_safe=is_safe)
        ]
        if not signed:
            raise _refuse_forged(account.name)
        self.require_fresh(account.name, request)
        if not is_safe and account.key is not None:
            await self.webhook_modes.record(account.name, is_plain=True, is_accepted=account.mode != "safe")
        if (account.mode, is_safe) in WRONG_MODES:
            raise Refusal("forged")
        return signed

    def require_fresh(self, account: str, request: Request) -> None:
        """Refuse a call with an old signature, which may be a replay. Raises Refusal stale."""
        timestamp, _ = _read_stamps(request)
        if not timestamp.isascii() or not timestamp.isdigit() or abs(self.now() - int(timestamp[:12])) > FRESH_S:
            log.warning("wechat_stale", account=account, timestamp=timestamp[:20])
            raise Refusal("stale", minutes=FRESH_S // 60)


def make_router(accounts: Mapping[str, HookAccount], webhook: Webhook, checks: HookChecks) -> APIRouter:
    """Make the routes. A call that is not from WeChat is refused before its body is read."""
    handler = _Handler(accounts, webhook, checks)
    router = APIRouter(include_in_schema=False)
    router.add_api_route(PATH, handler.verify, methods=["GET"])
    router.add_api_route(PATH, handler.receive, methods=["POST"])
    return router


class _Handler:
    def __init__(self, accounts: Mapping[str, HookAccount], webhook: Webhook, checks: HookChecks) -> None:
        self._accounts = accounts
        self._webhook = webhook
        self._checks = checks

    async def verify(self, account: str, request: Request) -> Response:
        """Answer WeChat's check of the URL with its echostr."""
        known, query = self._find(account, request), request.query_params
        signature, stamps = query.get("signature", ""), _read_stamps(request)
        if not any(crypto.is_genuine(signature, version.token, *stamps) for version in (known, *known.former)):
            raise _refuse_forged(known.name)
        self._checks.require_fresh(known.name, request)
        return PlainTextResponse(query.get("echostr", "")[:MAX_ECHO_CHARACTERS])

    async def receive(self, account: str, request: Request) -> Response:
        """Process a message or an event; return its passive reply, or `success`."""
        known = self._find(account, request)
        deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN_S
        is_safe = request.query_params.get("encrypt_type", "raw") == "aes"
        signed = await self._checks.check(known, request, is_safe=is_safe)
        body = await _read_body(request, deadline)
        sealed_by, message = _read_message(signed, body, request, is_safe=is_safe)
        if is_safe:
            await self._checks.webhook_modes.record(known.name, is_plain=False, is_accepted=True)
        try:
            async with asyncio.timeout_at(deadline), self._checks.nonces.once(known.name, *_read_stamps(request)):
                text = await self._webhook.process(known.name, message, request.query_params.get("nonce", ""))
        except RepeatedCall:
            log.info("wechat_replayed", account=known.name, what=message.event)
            return PlainTextResponse("success")
        except (NotPublished, TimeoutError) as error:
            log.warning("wechat_call_refused", account=known.name, what=message.event, why=str(error) or "too slow")
            raise Refusal("unavailable", retry_after_s=1) from error
        if text is None:
            return PlainTextResponse("success")
        at = int(self._checks.now())
        reply = replies.write_text_reply(message, text, at)
        if is_safe and sealed_by.key is not None:
            reply = replies.seal(reply, sealed_by.key, sealed_by.appid, sealed_by.token, at)
        return Response(reply, media_type="application/xml")

    def _find(self, account: str, request: Request) -> HookAccount:
        hook_account = self._accounts.get(account)
        if hook_account is None:
            raise Refusal("no_such_url", path=request.url.path)
        return hook_account


def _refuse_forged(account: str) -> Refusal:
    log.warning("wechat_forged", account=account)
    return Refusal("forged")


def _read_stamps(request: Request) -> tuple[str, str]:
    return request.query_params.get("timestamp", ""), request.query_params.get("nonce", "")


def _has_signature(account: HookAccount, request: Request, *, is_safe: bool) -> bool:
    """Return whether the query is signed; in safe mode, check also the form of the signature of the body."""
    signature = request.query_params.get("signature")
    if is_safe and (account.key is None or not crypto.is_signature(request.query_params.get("msg_signature", ""))):
        return False
    if signature is None and is_safe:
        return True
    return crypto.is_genuine(signature or "", account.token, *_read_stamps(request))


def _read_message(
    signed: Sequence[HookAccount], body: bytes, request: Request, *, is_safe: bool
) -> tuple[HookAccount, Message]:
    """Read a message; return the account of its token and key, too. Raises Refusal forged, not_json."""
    for account in signed:
        try:
            return account, _open_message(account, body, request) if is_safe else replies.parse_message(body)
        except crypto.NotGenuine:
            continue
        except UnreadableXml as error:
            raise Refusal("not_json", why_zh="不是微信的 XML", why_en="this is no XML of WeChat") from error
    raise _refuse_forged(signed[0].name)


def _open_message(account: HookAccount, body: bytes, request: Request) -> Message:
    """Check the signature of an encrypted message, and decrypt it. Raises NotGenuine, UnreadableXml."""
    query = request.query_params
    if account.key is None:
        raise crypto.NotGenuine
    encrypted = replies.parse_elements(body).get("Encrypt", "")
    if not crypto.is_genuine(query.get("msg_signature", ""), account.token, *_read_stamps(request), encrypted):
        raise crypto.NotGenuine
    return replies.parse_message(crypto.decrypt(encrypted, account.key, account.appid))


async def _read_body(request: Request, deadline: float) -> bytes:
    """Read the body, up to `MAX_BODY_BYTES`. Raises Refusal too_large, body_incomplete."""
    try:
        async with asyncio.timeout_at(deadline):
            return await bodies.read(request.scope, request.receive, MAX_BODY_BYTES)
    except TimeoutError as error:
        raise Refusal("body_incomplete") from error
