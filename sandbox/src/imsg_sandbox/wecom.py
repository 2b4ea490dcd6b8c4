"""WeCom's group robots as senders meet them: one webhook, refusing what the real one refuses."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.responses import JSONResponse, Response

from imsg_contract.constant_time import equals
from imsg_sandbox.body import read_body
from imsg_sandbox.cut import Cut, linger
from imsg_sandbox.faults import HANG_S, Fault, Faults
from imsg_sandbox.inbox import Inbox, Received

METHOD = "wecom"
PATH = "/sandbox/wecom/cgi-bin/webhook/send"
UPLOAD_PATH = "/sandbox/wecom/cgi-bin/webhook/upload_media"

PER_MINUTE = 20
MINUTE_S = 60.0
LIMITS: Mapping[str, int] = {"text": 2_048, "markdown": 4_096}
"""msgtype → the most bytes of its content."""

TEXTS: Mapping[int, str] = {
    0: "ok",
    40008: "invalid message type",
    40058: "invalid Request Parameter",
    41005: "media data missing",
    44004: "empty content",
    45002: "content size out of limit",
    45009: "api freq out of limit",
    93000: "invalid webhook url",
}


class Robot(BaseModel):
    """A robot that is played: the sender's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: SecretStr


class WeComSettings(BaseModel):
    """The robots played: those of sender-wecom."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    robots: dict[str, Robot] = {}


@dataclass(slots=True)
class Webhook:
    """The one call there is."""

    robots: Mapping[str, Robot]
    inbox: Inbox
    faults: Faults
    now: Callable[[], float]
    _calls: dict[str, deque[float]] = field(default_factory=dict)

    async def take(self, request: Request) -> Response:
        """Answer a call, or play what was ordered to go wrong."""
        body = await read_body(request)
        name = self._name(request.query_params.get("key", ""))
        struck = self.faults.strike(
            METHOD, Fault.HANG, Fault.RESET_BEFORE, Fault.SERVER_ERROR, Fault.RESET_AFTER, Fault.LATENCY
        )
        match struck.fault if struck else None:
            case Fault.HANG:
                await linger(request, HANG_S)
                return Cut()
            case Fault.RESET_BEFORE:
                return Cut()
            case Fault.SERVER_ERROR:
                return Response("<html><body>502 Bad Gateway</body></html>", 502, media_type="text/html")
            case Fault.LATENCY if struck:
                await asyncio.sleep(struck.ms / 1_000)
        code = self._judge(name, body)
        if struck is not None and struck.fault is Fault.RESET_AFTER:
            return Cut()
        return JSONResponse({"errcode": code, "errmsg": TEXTS[code]})

    async def upload(self, request: Request) -> Response:
        """Refuse an upload: the key first, as there is never a file."""
        code = 93000 if self._name(request.query_params.get("key", "")) is None else 41005
        return JSONResponse({"errcode": code, "errmsg": TEXTS[code]})

    def _name(self, key: str) -> str | None:
        return next(
            (name for name, robot in self.robots.items() if equals(key, robot.key.get_secret_value())),
            None,
        )

    def _judge(self, name: str | None, body: bytes) -> int:
        if name is None:
            return 93000
        kind, content = read(body)
        code = wrong(kind, content) or (45009 if self._is_over(name) else 0)
        if not code:
            self.inbox.keep(Received(METHOD, name, "", body, datetime.now(UTC), text=content))
        return code

    def _is_over(self, name: str) -> bool:
        calls, now = self._calls.setdefault(name, deque()), self.now()
        while calls and calls[0] <= now - MINUTE_S:
            calls.popleft()
        if len(calls) >= PER_MINUTE:
            return True
        calls.append(now)
        return False


def read(body: bytes) -> tuple[str, str | None]:
    """Read a call's msgtype and content; None where there is none of that type."""
    try:
        asked: Any = json.loads(body)
        kind = asked["msgtype"]
        content = asked.get(kind, {}).get("content")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return "", None
    return str(kind), content if isinstance(content, str) else None


def wrong(kind: str, content: str | None) -> int:
    """Judge a message by itself; 0 where nothing is wrong."""
    if kind not in LIMITS:
        return 40008
    if content is None:
        return 40058
    if not content.strip():
        return 44004
    return 45002 if len(content.encode("utf-8", "surrogatepass")) > LIMITS[kind] else 0


def routes(webhook: Webhook) -> APIRouter:
    """Make the route; whoever has a key may call it."""
    router = APIRouter()
    router.add_api_route(PATH, webhook.take, methods=["POST"], response_model=None)
    router.add_api_route(UPLOAD_PATH, webhook.upload, methods=["POST"], response_model=None)
    return router
