"""WeCom's group robots as senders use them: one webhook, with the refusals of the real one."""

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
from imsg_sandbox.faults import Fault, Faults
from imsg_sandbox.http_faults import BrokenResponse, play_fault
from imsg_sandbox.inbox import Inbox, ReceivedMessage

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
    """A robot of sender-wecom."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: SecretStr


class WeComSettings(BaseModel):
    """The robots of sender-wecom, which the sandbox plays."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    robots: dict[str, Robot] = {}


@dataclass(slots=True)
class Webhook:
    """The webhook of all robots."""

    robots: Mapping[str, Robot]
    inbox: Inbox
    faults: Faults
    now: Callable[[], float]
    _calls: dict[str, deque[float]] = field(default_factory=dict)

    async def send(self, request: Request) -> Response:
        """Answer a message, or play a fault."""
        body = await read_body(request)
        name = self._find_robot(request.query_params.get("key", ""))
        if (fault := await play_fault(self.faults, METHOD, request)) is not None:
            return fault
        code = self._accept(name, body)
        if self.faults.use(METHOD, Fault.RESET_AFTER):
            return BrokenResponse()
        return JSONResponse({"errcode": code, "errmsg": TEXTS[code]})

    async def upload(self, request: Request) -> Response:
        """Refuse an upload: a wrong key first, then the missing file."""
        code = 93000 if self._find_robot(request.query_params.get("key", "")) is None else 41005
        return JSONResponse({"errcode": code, "errmsg": TEXTS[code]})

    def _find_robot(self, key: str) -> str | None:
        return next(
            (name for name, robot in self.robots.items() if equals(key, robot.key.get_secret_value())),
            None,
        )

    def _accept(self, name: str | None, body: bytes) -> int:
        if name is None:
            return 93000
        kind, content = read(body)
        code = find_error(kind, content) or (45009 if self._exceeds_rate(name) else 0)
        if not code:
            self.inbox.add(ReceivedMessage(METHOD, name, "", body, datetime.now(UTC), text=content))
        return code

    def _exceeds_rate(self, name: str) -> bool:
        """Return whether a robot has used up its calls of a minute; otherwise count this call."""
        calls, now = self._calls.setdefault(name, deque()), self.now()
        while calls and calls[0] <= now - MINUTE_S:
            calls.popleft()
        if len(calls) >= PER_MINUTE:
            return True
        calls.append(now)
        return False


def read(body: bytes) -> tuple[str, str | None]:
    """Return a call's msgtype and content; None where it has no content of that type."""
    try:
        call: Any = json.loads(body)
        kind = call["msgtype"]
        content = call.get(kind, {}).get("content")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return "", None
    return str(kind), content if isinstance(content, str) else None


def find_error(kind: str, content: str | None) -> int:
    """Return the errcode of a message; 0 where it is valid."""
    if kind not in LIMITS:
        return 40008
    if content is None:
        return 40058
    if not content.strip():
        return 44004
    return 45002 if len(content.encode("utf-8", "surrogatepass")) > LIMITS[kind] else 0


def routes(webhook: Webhook) -> APIRouter:
    """Make the routes; a call has the key of a robot."""
    router = APIRouter()
    router.add_api_route(PATH, webhook.send, methods=["POST"], response_model=None)
    router.add_api_route(UPLOAD_PATH, webhook.upload, methods=["POST"], response_model=None)
    return router
