"""The edge of `imsg up`: one table of paths, the same that Caddy holds in front of the containers."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_web.responses import Answer, ok, refuse_with
from imsg_web.service import Service

Table = Sequence[tuple[str, ASGIApp]]
"""(path, app): the app answers the path and all below it; the first that fits."""


NO_PAGES = ("/health", "/metrics", "/hooks", "/internal", "/sandbox/")
"""What is answered by services alone: the frame of the page's own has some of them too, for whoever stands inside."""


class Router:
    """Hands a request to the service whose path it is, what is nobody's to the page; else nothing is reachable."""

    def __init__(self, table: Table, parts: Sequence[Service], page: ASGIApp | None = None) -> None:
        self._table = table
        self._parts = parts
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the whole's health, or hand on."""
        if scope["type"] == "websocket" and self._page is not None:
            await self._page(scope, receive, send)  # nobody else has any
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path == "/health/ready":
            await self._readiness(scope)(scope, receive, send)
            return
        for prefix, app in self._table:
            if path == prefix or path.startswith(f"{prefix}/"):
                await app(scope, receive, send)
                return
        if self._page is not None and not path.startswith(NO_PAGES):
            await self._page(scope, receive, send)
            return
        refusal = Refusal("no_such_url", path=path)
        await refuse_with(refusal, _language(scope))(scope, receive, send)

    def refuse(self, refusal: Refusal, accept_language: str, path: str) -> Response:
        """Answer a refusal as the service would whose path it is."""
        for prefix, app in self._table:
            if isinstance(app, Service) and (path == prefix or path.startswith(f"{prefix}/")):
                return app.refuse(refusal, accept_language, path)
        return refuse_with(refusal, accept_language)

    def unmet(self) -> dict[str, list[str]]:
        """Name the conditions of readiness that don't hold, by service."""
        return {part.name: unmet for part in self._parts if (unmet := part.unmet())}

    def _readiness(self, scope: Scope) -> Answer:
        if unmet := self.unmet():
            return refuse_with(Refusal("unavailable", extra={"unmet": unmet}, retry_after_s=3), _language(scope))
        return Answer(ok(services=[part.name for part in self._parts]))


def _language(scope: Scope) -> str:
    return Request(scope).headers.get("accept-language", "")
