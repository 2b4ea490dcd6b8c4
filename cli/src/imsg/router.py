"""The edge of `imsg up`: one table of paths, the same that Caddy has in front of the containers."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_web.responses import ApiResponse, ok, refuse_with
from imsg_web.service import Service

Table = Sequence[tuple[str, ASGIApp]]
"""(path, app): the app answers the path and all below it; the first that fits is taken."""


NO_PAGES = ("/health", "/metrics", "/hooks", "/internal", "/sandbox/")
"""Paths that the page never answers, though its framework has some of them."""


class Router:
    """Passes a request to the service of its path, and any other path to the page."""

    def __init__(self, table: Table, parts: Sequence[Service], page: ASGIApp | None = None) -> None:
        self._table = table
        self._parts = parts
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the health of all services, or pass the request on."""
        if scope["type"] == "websocket" and self._page is not None:
            await self._page(scope, receive, send)  # no service has any
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path == "/health/ready":
            await self._answer_readiness(scope)(scope, receive, send)
            return
        for prefix, app in self._table:
            if path == prefix or path.startswith(f"{prefix}/"):
                await app(scope, receive, send)
                return
        if self._page is not None and not path.startswith(NO_PAGES):
            await self._page(scope, receive, send)
            return
        refusal = Refusal("no_such_url", path=path)
        await refuse_with(refusal, _read_language(scope))(scope, receive, send)

    def refuse(self, refusal: Refusal, accept_language: str, path: str) -> Response:
        """Answer a refusal as the service of this path would."""
        for prefix, app in self._table:
            if isinstance(app, Service) and (path == prefix or path.startswith(f"{prefix}/")):
                return app.refuse(refusal, accept_language, path)
        return refuse_with(refusal, accept_language)

    def unmet(self) -> dict[str, list[str]]:
        """Return the unmet conditions of readiness, by service."""
        return {part.name: unmet for part in self._parts if (unmet := part.unmet())}

    def _answer_readiness(self, scope: Scope) -> ApiResponse:
        if unmet := self.unmet():
            return refuse_with(Refusal("unavailable", extra={"unmet": unmet}, retry_after_s=3), _read_language(scope))
        return ApiResponse(ok(services=[part.name for part in self._parts]))


def _read_language(scope: Scope) -> str:
    return Request(scope).headers.get("accept-language", "")
