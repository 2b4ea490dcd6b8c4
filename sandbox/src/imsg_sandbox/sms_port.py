"""The SMS providers that are played, all at the root of one port, where their own SDKs look for them."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class SmsPort:
    """An app that tells the providers apart by how they are called; what is nobody else's is Aliyun's."""

    def __init__(self, aliyun: ASGIApp, others: Mapping[str, ASGIApp]) -> None:
        self._aliyun = aliyun
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a call to its provider."""
        await self._others.get(_name(scope), self._aliyun)(scope, receive, send)


def _name(scope: Scope) -> str:
    if scope["type"] != "http":
        return ""
    if scope["path"].startswith("/2010-04-01/"):
        return "twilio"
    headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
    if headers.get(b"authorization", b"").startswith(b"TC3-"):
        return "tencent"
    return "volcengine" if headers.get(b"authorization", b"").startswith(b"HMAC-SHA256 ") else ""
