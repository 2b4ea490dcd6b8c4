"""The HTTP API of an SMS provider as an ASGI app: it reads a call, plays the faults that are ordered, or answers."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_sandbox.body import read_body
from imsg_sandbox.faults import Faults
from imsg_sandbox.http_faults import play_fault
from imsg_sandbox.signatures import Call, read_pairs
from imsg_sandbox.sms_provider import METHOD, SmsProvider

MAX_BODY_BYTES = 1024 * 1024


class SmsApi:
    """The app of one provider."""

    def __init__(self, provider: SmsProvider, faults: Faults) -> None:
        self._provider = provider
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or play a fault."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        call = await _read_call(request)
        response = await play_fault(self._faults, METHOD, request) or await self._provider.answer(call)
        await response(scope, receive, send)


async def _read_call(request: Request) -> Call:
    body = await read_body(request, MAX_BODY_BYTES)
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    form = read_pairs(body.decode("utf-8", "replace")) if is_form else []
    path = request.scope.get("raw_path", b"/").decode("latin-1")
    return Call(request.method, path, read_pairs(request.url.query), form, headers, body)


class SmsPort:
    """All providers at the root of one port, where their SDKs look for them; the form of a call decides which."""

    def __init__(self, aliyun: ASGIApp, others: Mapping[str, ASGIApp]) -> None:
        """`others` are the apps by kind; a call that is none of theirs is Aliyun's."""
        self._aliyun = aliyun
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call to its provider."""
        await self._others.get(_find_kind(scope), self._aliyun)(scope, receive, send)


def _find_kind(scope: Scope) -> str:
    if scope["type"] != "http":
        return ""
    if scope["path"].startswith("/2010-04-01/"):
        return "twilio"
    headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
    if headers.get(b"authorization", b"").startswith(b"TC3-"):
        return "tencent"
    return "volcengine" if headers.get(b"authorization", b"").startswith(b"HMAC-SHA256 ") else ""
