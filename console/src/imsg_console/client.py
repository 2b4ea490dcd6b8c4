"""The public API as the pages call it: an answer, or an error with a sentence for people."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
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
    """The API refused a call, or could not be reached. `reason` is for code, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str = "", code: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        """Empty where the API did not answer."""
        self.code = code


class SessionOver(Exception):  # noqa: N818  an end, no error
    """The log-in has ended: by time, by a log-out, by a change of the user. The layout leads to the log-in page."""


class Visitor:
    """The network addresses of a visitor, by which the gateway counts wrong passwords."""

    def __init__(self, scope: Scope) -> None:
        headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        client = scope.get("client")
        self.hops = ", ".join([*headers, str(client[0]) if client else "unknown"])
        """As X-Forwarded-For, with the peer of the socket last. The gateway decides which of them to trust."""


class Gateway:
    """The API without a log-in."""

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
        """Call the API and return its answer, with its ETag as `etag` where it has one. Raises ApiError.

        Parameters that are None or empty are left out.
        """
        sent = {"accept-language": accept_language, **(headers or {})}
        if token:
            sent["authorization"] = f"Bearer {token}"
        if visitor is not None:
            sent["x-forwarded-for"] = visitor.hops
        query = {name: str(value) for name, value in (params or {}).items() if value not in (None, "")}
        try:
            response = await self._gateway.call(
                verb, path, json=body, params=query, headers=sent, timeout_s=CALL_TIMEOUT_S
            )
            answer: dict[str, Any] = response.json()
        except (ServiceUnavailable, ValueError) as error:
            raise ApiError("unreachable") from error
        code = answer.get("errorCode")
        if code != 0:
            reason, detail = str(answer.get("reason", "unreachable")), str(answer.get("detail", ""))
            raise ApiError(reason, detail, code if isinstance(code, int) else 0)
        if (etag := response.headers.get("etag")) is not None:
            answer["etag"] = etag
        return answer


class Reader(Protocol):
    """The part of the API that reads."""

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Get. Raises ApiError, SessionOver."""


class Writer(Protocol):
    """The part of the API that writes."""

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Post. Raises ApiError, SessionOver."""


class Lister(Protocol):
    """The part of the API that lists."""

    def pages(self, path: str, field: str, **params: object) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield the rows of `field` page by page."""


class Caller(Protocol):
    """The caller of the API; a change of the password replaces the token."""

    token: str
    visitor: Visitor


class Api:
    """The API on behalf of a session, in the language of the page."""

    def __init__(self, gateway: Gateway, caller: Caller, accept_language: str) -> None:
        self._gateway = gateway
        self._caller = caller
        self._accept_language = accept_language

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Get. Raises ApiError, SessionOver."""
        return await self.call("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
        """Post. Headers are written `idempotency_key="..."`. Raises ApiError, SessionOver."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", path, body, headers=named)

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Patch. Raises ApiError, SessionOver."""
        return await self.call("PATCH", path, body)

    async def put(self, path: str, body: Mapping[str, Any], etag: str) -> dict[str, Any]:
        """Replace what has this ETag; what has another was changed meanwhile. Raises ApiError, SessionOver."""
        return await self.call("PUT", path, body, headers={"if-match": etag})

    async def delete(self, path: str) -> dict[str, Any]:
        """Delete. Raises ApiError, SessionOver."""
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
                token=self._caller.token,
                accept_language=self._accept_language,
                visitor=self._caller.visitor,
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
    """An app in this process, called with the visitor's address in place of a socket's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Use the last hop, which `Visitor` has read from the socket, as the peer; keep the other hops."""
        hops = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        others, _, peer = hops.rpartition(",")
        headers = [(name, value) for name, value in scope["headers"] if name != b"x-forwarded-for"]
        if others:
            headers.append((b"x-forwarded-for", others.strip().encode("latin-1")))
        await self._app({**scope, "headers": headers, "client": (peer.strip() or "unknown", 0)}, receive, send)


def forward(apps: Apps) -> Apps:
    """Wrap the apps of this process."""
    return {name: Forwarded(app) for name, app in apps.items()}
