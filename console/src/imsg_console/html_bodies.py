"""HTML of strangers, such as a mail's body: served for a sandboxed frame, with a policy of its own."""

import secrets

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'self'"
)
"""No script, no form, no request: a mail cannot report to its sender that it was read."""


class Bodies:
    """Keeps the bodies of open pages, and serves them to their sessions."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, str]] = {}

    def store(self, session: str, html: str) -> str:
        """Store a body; return its name."""
        name = secrets.token_urlsafe(16)
        self._kept[name] = (session, html)
        return name

    def forget(self, name: str) -> None:
        """Remove a body."""
        self._kept.pop(name, None)

    async def show(self, request: Request) -> Response:
        """Answer a request for a body."""
        owner, html = self._kept.get(request.path_params["name"], ("", ""))
        session = request.state.session
        if session is None or session.key != owner:
            return PlainTextResponse("", 404)
        headers = {"Content-Security-Policy": POLICY, "X-Frame-Options": "SAMEORIGIN"}
        return HTMLResponse(html, headers=headers)
