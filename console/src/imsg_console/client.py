"""The public API as the pages use it: one call, its answer, or an error that speaks to people."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_web.callers import Apps
from imsg_web.service_client import Peer, ServiceUnavailable

CALL_TIMEOUT_S = 10.0
"""Longer than the gateway itself takes at most: 5 s for the broker, then its own answer."""

PAGE = 500
"""The largest page the API gives."""

TOKEN_ENDED = 10005


class ApiError(Exception):
    """The API refused, or could not be reached. `reason` to decide by, `detail` to show: a sentence with the remedy."""

    def __init__(self, reason: str, detail: str = "", code: int = 0, answer: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        """Empty where the API did not answer: the page has the sentence."""
        self.code = code
        self.answer = answer or {}
        """The whole answer: `id` of an outcome that is not known, and the like."""


class SessionOver(Exception):  # noqa: N818  an end, no error
    """The log-in has ended: by time, by a log-out elsewhere, by a change of the user. The frame leads to the log-in."""


class Visitor:
    """Who asks from outside, for the gateway to count wrong passwords by."""

    def __init__(self, scope: Scope) -> None:
        headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        client = scope.get("client")
        self.hops = ", ".join([*headers, str(client[0]) if client else "unknown"])
        """As X-Forwarded-For: whoever spoke to us last. Whom of them to believe is the gateway's to say."""


class Gateway:
    """The API before anybody has logged in."""

    def __init__(self, gateway: Peer) -> None:
        self._gateway = gateway

    async def call(
        self,
        verb: str,
        path: str,
        body: Any = None,  # noqa: ANN401  any JSON
        *,
        token: str = "",
        accept_language: str = "",
        visitor: Visitor | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Call the API and return its answer. Parameters that are None or empty are left out. Raises ApiError."""
        sent = {"accept-language": accept_language, **(headers or {})}
        if token:
            sent["authorization"] = f"Bearer {token}"
        if visitor is not None:
            sent["x-forwarded-for"] = visitor.hops
        asked = {name: str(value) for name, value in (params or {}).items() if value not in (None, "")}
        try:
            answered = await self._gateway.call(
                verb, path, json=body, params=asked, headers=sent, timeout_s=CALL_TIMEOUT_S
            )
            answer: dict[str, Any] = answered.json()
        except (ServiceUnavailable, ValueError) as error:
            raise ApiError("unreachable") from error
        code = answer.get("errorCode")
        if code != 0:
            reason, detail = str(answer.get("reason", "unreachable")), str(answer.get("detail", ""))
            raise ApiError(reason, detail, code if isinstance(code, int) else 0, answer)
        return answer


class Api:
    """The API on behalf of who has logged in, in the language of the page."""

    def __init__(self, gateway: Gateway, token: str, visitor: Visitor, accept_language: str) -> None:
        self._gateway = gateway
        self._token = token
        self._visitor = visitor
        self._accept_language = accept_language

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Ask. Raises ApiError, SessionOver."""
        return await self.call("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Do. Headers are written `idempotency_key="..."`. Raises ApiError, SessionOver."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", path, body, headers=named)

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change. Raises ApiError, SessionOver."""
        return await self.call("PATCH", path, body)

    async def delete(self, path: str) -> dict[str, Any]:
        """Remove. Raises ApiError, SessionOver."""
        return await self.call("DELETE", path)

    async def call(
        self,
        verb: str,
        path: str,
        body: Any = None,  # noqa: ANN401  any JSON
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Call the API. Raises ApiError, SessionOver."""
        try:
            return await self._gateway.call(
                verb,
                path,
                body,
                token=self._token,
                accept_language=self._accept_language,
                visitor=self._visitor,
                headers=headers,
                params=params,
            )
        except ApiError as error:
            if error.code == TOKEN_ENDED:
                raise SessionOver from error
            raise

    async def pages(self, path: str, field: str, **params: object) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the rows of `field` page by page, to the end. Raises ApiError, SessionOver."""
        cursor: object = None
        while True:
            answer = await self.get(path, **{"limit": PAGE, **params, "cursor": cursor})
            yield answer[field]
            cursor = answer["next"]
            if not cursor:
                return


def path(*segments: str) -> str:
    """Make a path of names, each percent-encoded: `path("/api/v2/users", name)`."""
    first, *rest = segments
    return "/".join((first, *(quote(segment, safe="") for segment in rest)))


def make_url(path: str, **query: str) -> str:
    """Make an address with a query; fields that are empty are left out."""
    pairs = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{pairs}" if pairs else path


class Forwarded:
    """An app in our own process, told the address that the console vouches for instead of a socket's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the last hop, which `Visitor` has read from the socket, for the peer; leave the others as they came."""
        hops = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        others, _, peer = hops.rpartition(",")
        headers = [(name, value) for name, value in scope["headers"] if name != b"x-forwarded-for"]
        if others:
            headers.append((b"x-forwarded-for", others.strip().encode("latin-1")))
        await self._app({**scope, "headers": headers, "client": (peer.strip() or "unknown", 0)}, receive, send)


def forward(apps: Apps) -> Apps:
    """Wrap the apps of our own process, if there are any."""
    return {name: Forwarded(app) for name, app in apps.items()}
