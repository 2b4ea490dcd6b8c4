"""The webhook: GET and POST /hooks/wechat/ACCOUNT, in plain and in safe mode, as WeChat calls it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from imsg_contract.errors import Refusal
from imsg_runtime.logs import logger
from imsg_web import bodies
from imsg_wechat import crypto, replies
from imsg_wechat.consoles import Consoles
from imsg_wechat.nonces import FRESH_S, Nonces, Repeated
from imsg_wechat.receipts import NotKept
from imsg_wechat.replies import Message, Unreadable
from imsg_wechat.webhook import Reception

PATH = "/hooks/wechat/{account}"

MAX_BODY_BYTES = 64 * 1024
ANSWER_WITHIN_S = 4.5
"""WeChat hangs up after 5 s."""

MAX_ECHO_CHARACTERS = 256

WRONG_MODES = frozenset({("safe", False), ("plain", True)})
"""What an account takes, and whether a call is encrypted, that do not go together."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """What one account's webhook is guarded by."""

    account: str
    appid: str
    token: str
    key: bytes | None
    """Of safe mode."""
    mode: Literal["any", "plain", "safe"]


@dataclass(frozen=True, slots=True)
class Gate:
    """What every call passes before its body is read, and what is remembered of calls."""

    nonces: Nonces
    consoles: Consoles
    now: Callable[[], float]

    async def admit(self, door: Door, request: Request, *, is_safe: bool) -> None:
        """Let a call of WeChat's pass. Raises Refusal forged, stale."""
        if not _may_come_in(door, request, is_safe=is_safe):
            raise _refuse_forged(door.account)
        self.require_fresh(door.account, request)
        if not is_safe and door.key is not None:
            await self.consoles.note(door.account, is_plain=True, is_taken=door.mode != "safe")
        if (door.mode, is_safe) in WRONG_MODES:
            raise Refusal("forged")

    def require_fresh(self, account: str, request: Request) -> None:
        """Refuse what was signed long ago: whoever overheard a call has it for ever. Raises Refusal stale."""
        timestamp, _ = _stamps(request)
        if not timestamp.isascii() or not timestamp.isdigit() or abs(self.now() - int(timestamp[:12])) > FRESH_S:
            log.warning("wechat_stale", account=account, timestamp=timestamp[:20])
            raise Refusal("stale", minutes=FRESH_S // 60)


def make_router(doors: Mapping[str, Door], reception: Reception, gate: Gate) -> APIRouter:
    """Make the routes; who is not WeChat is refused before anything is read of what he sent."""

    async def verify(request: Request) -> Response:
        """Answer WeChat's question whether this is ours: with its echostr, and nothing else."""
        account: str = request.path_params["account"]
        door = _door(doors, account, request)
        query = request.query_params
        if not crypto.is_genuine(query.get("signature", ""), door.token, *_stamps(request)):
            raise _refuse_forged(account)
        gate.require_fresh(account, request)
        return PlainTextResponse(query.get("echostr", "")[:MAX_ECHO_CHARACTERS])

    async def take(request: Request) -> Response:
        """Take a message or an event; answer its passive reply, or `success`."""
        account: str = request.path_params["account"]
        deadline = asyncio.get_running_loop().time() + ANSWER_WITHIN_S
        door = _door(doors, account, request)
        is_safe = request.query_params.get("encrypt_type", "raw") == "aes"
        await gate.admit(door, request, is_safe=is_safe)
        body = await _body(request, deadline)
        message = _read(door, body, request, is_safe=is_safe)
        if is_safe:
            await gate.consoles.note(account, is_plain=False, is_taken=True)
        try:
            async with asyncio.timeout_at(deadline), gate.nonces.once(account, *_stamps(request)):
                text = await reception.take(account, message, request.query_params.get("nonce", ""))
        except Repeated:
            log.info("wechat_replayed", account=account, what=message.event)
            return PlainTextResponse("success")
        except (NotKept, TimeoutError) as error:
            log.warning("wechat_call_refused", account=account, what=message.event, why=str(error) or "too slow")
            raise Refusal("unavailable", retry_after_s=1) from error
        if text is None:
            return PlainTextResponse("success")
        at = int(gate.now())
        reply = replies.text_reply(message, text, at)
        if is_safe and door.key is not None:
            reply = replies.seal(reply, door.key, door.appid, door.token, at)
        return Response(reply, media_type="application/xml")

    router = APIRouter(include_in_schema=False)
    router.add_api_route(PATH, verify, methods=["GET"])
    router.add_api_route(PATH, take, methods=["POST"])
    return router


def _door(doors: Mapping[str, Door], account: str, request: Request) -> Door:
    door = doors.get(account)
    if door is None:
        raise Refusal("no_such_url", path=request.url.path)
    return door


def _refuse_forged(account: str) -> Refusal:
    log.warning("wechat_forged", account=account)
    return Refusal("forged")


def _stamps(request: Request) -> tuple[str, str]:
    return request.query_params.get("timestamp", ""), request.query_params.get("nonce", "")


def _may_come_in(door: Door, request: Request, *, is_safe: bool) -> bool:
    """Look at the signature that stands before the body, and in safe mode at the form of the one that covers it."""
    given = request.query_params.get("signature")
    if is_safe and (door.key is None or not crypto.has_form(request.query_params.get("msg_signature", ""))):
        return False
    if given is None and is_safe:
        return True
    return crypto.is_genuine(given or "", door.token, *_stamps(request))


def _read(door: Door, body: bytes, request: Request, *, is_safe: bool) -> Message:
    """Read a message. Raises Refusal forged, not_json."""
    try:
        return _open_message(door, body, request) if is_safe else replies.message(body)
    except crypto.NotGenuine as error:
        raise _refuse_forged(door.account) from error
    except Unreadable as error:
        raise Refusal("not_json", why_zh="不是微信的 XML", why_en="this is no XML of WeChat's") from error


def _open_message(door: Door, body: bytes, request: Request) -> Message:
    """Open an encrypted message, its signature checked first: that one covers what is encrypted."""
    query = request.query_params
    if door.key is None:
        raise crypto.NotGenuine
    encrypted = replies.elements(body).get("Encrypt", "")
    if not crypto.is_genuine(query.get("msg_signature", ""), door.token, *_stamps(request), encrypted):
        raise crypto.NotGenuine
    return replies.message(crypto.decrypt(encrypted, door.key, door.appid))


async def _body(request: Request, deadline: float) -> bytes:
    """Read the body, up to its limit. Raises Refusal too_large, body_incomplete."""
    try:
        async with asyncio.timeout_at(deadline):
            return await bodies.read(request.scope, request.receive, MAX_BODY_BYTES)
    except TimeoutError as error:
        raise Refusal("body_incomplete") from error
