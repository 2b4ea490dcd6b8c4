"""The checks before every page: its path, its origin, its session; and the headers of every answer."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imsg_console.client import Visitor
from imsg_console.message_bounds import bound_post, bound_socket
from imsg_console.nicegui_internals import ASSETS, EMPTY_STYLE, FRAMEWORK, SOCKET, read_scope
from imsg_console.origin import WRITES, Origins
from imsg_console.paths import ICON, LOGIN, LOGOUT, MISSING, OWN, PREFER, STATIC, login_url
from imsg_console.preferences import current, preferences
from imsg_console.session import Session, Sessions
from imsg_console.texts import Texts
from imsg_contract.errors import Refusal
from imsg_web.responses import refuse_with

COOKIE = "imsg_session"

NONCE_BYTES = 18

PAGE = "page"
"""The key in a scope's state of the page that a socket belongs to: (client id, session key)."""

OPEN = (OWN, FRAMEWORK, SOCKET, LOGIN, LOGOUT, PREFER, ICON)
"""Paths that are not pages."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
"""Headers of every answer; a route may set others."""


def policy(nonce: str) -> str:
    """Write the Content-Security-Policy of a page.

    `unsafe-eval` stays since Vue compiles NiceGUI's templates in the browser; style attributes since Quasar and ECharts
    set them. Scripts and style sheets in the page count only with the nonce of this very answer.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
            f"style-src 'self' 'nonce-{nonce}' {EMPTY_STYLE}",
            "style-src-attr 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            "connect-src 'self'",
            "frame-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


class Security:
    """The ASGI app around NiceGUI's."""

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions,
        origins: Origins,
        *,
        is_page: Callable[[str], bool],
        owner: Callable[[str], str | None],
        goes_on: Callable[[str, str, Session | None], bool],
    ) -> None:
        """Wrap an app.

        `owner` (client id → session key) returns the session of an upload's or socket's page; `goes_on` (transport id,
        client id, session) tells whether a long-polling request goes on with a socket of that page and session.
        """
        self._app = app
        self._sessions = sessions
        self._origins = origins
        self._is_page = is_page
        self._owner = owner
        self._goes_on = goes_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, lead it to the log-in page, or refuse it."""
        connection = HTTPConnection(scope)
        wanted = preferences(connection.cookies, connection.headers.get("accept-language", ""))
        current.set(wanted)
        secret = connection.cookies.get(self._origins.cookie(scope, COOKIE), "")
        session = await self._sessions.find_or_resume(secret, Visitor(scope))
        scope = {
            **scope,
            "headers": [(name, value) for name, value in scope["headers"] if name != b"x-forwarded-prefix"],
            "state": {**scope.get("state", {}), "session": session, "nonce": secrets.token_urlsafe(NONCE_BYTES)},
        }
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, session)
            return
        answer = self._refuse(scope, session, Texts(wanted.language))
        if answer is None and not (self._is_page(scope["path"]) or scope["path"].startswith(OPEN)):
            scope["path"] = MISSING
        if answer is None and scope["path"].startswith(SOCKET) and scope["method"] == "POST":
            receive = await bound_post(scope, receive, is_known=session is not None)
        await (answer or self._app)(scope, receive, _add_headers(scope, send))

    async def _socket(self, scope: Scope, receive: Receive, send: Send, session: Session | None) -> None:
        path: str = scope["path"]
        if path.startswith(SOCKET) and self._origins.is_ours(scope) and self._may_connect(scope, session):
            await self._app(scope, bound_socket(receive, is_known=session is not None), send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 4403, "reason": "not yours"})

    def _refuse(self, scope: Scope, session: Session | None, t: Texts) -> ASGIApp | None:
        """Return the answer to a request that may not pass; None: it may."""
        path, verb = scope["path"], scope["method"]
        if verb in WRITES and not self._origins.is_ours(scope):
            return _foreign(path, t)
        if path.startswith((STATIC, ASSETS)) or path in (LOGIN, PREFER, ICON):
            return None
        if path.startswith(SOCKET):
            return None if self._may_connect(scope, session) else _refuse_lost(scope)
        if path.startswith(FRAMEWORK):
            return None if session is not None and self._owner(_client(path)) == session.key else _refuse_lost(scope)
        return self._redirect(scope, session)

    def _redirect(self, scope: Scope, session: Session | None) -> ASGIApp | None:
        """Return the answer for a missing page, or without a session; None where the request may pass."""
        path = scope["path"]
        if not self._is_page(path) and not _wants_html(scope) and not path.startswith(OWN):
            return _refuse_lost(scope)
        if session is None:
            return RedirectResponse(login_url(path, scope["query_string"].decode("latin-1"), self._why(scope)), 303)
        self._sessions.touch(session)
        return None

    def _why(self, scope: Scope) -> str:
        """Return why the log-in page is shown; empty for a first visit of the front page."""
        secret = HTTPConnection(scope).cookies.get(self._origins.cookie(scope, COOKIE), "")
        if secret:
            return self._sessions.why_ended(secret)
        return "" if scope["path"] == "/" else "first_log_in"

    def _may_connect(self, scope: Scope, session: Session | None) -> bool:
        """Return whether a socket may be opened: for a page of this session, or for a page that is gone.

        NiceGUI refuses the latter so that the page loads again, which leads to the log-in page.
        """
        query = _read_query(scope["query_string"])
        client = query.get("client_id", "")
        if not client:
            return False
        owner = self._owner(client)
        if owner is not None and (session is None or owner != session.key):
            return False
        if "sid" in query and not self._goes_on(query["sid"], client, session):
            return False
        scope["state"][PAGE] = (client, session.key if session else None)
        return True


def _add_headers(scope: Scope, send: Send) -> Send:
    """Add the headers to an answer."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", policy(scope["state"]["nonce"]))
            headers.setdefault("Cache-Control", _lifetime(scope["path"]))
        await send(message)

    return send_on


def _lifetime(path: str) -> str:
    """Return the Cache-Control of an answer: NiceGUI's files have its version in their address, ours an ETag."""
    if path.startswith(ASSETS):
        return "public, max-age=31536000, immutable"
    return "no-cache" if path.startswith(STATIC) else "no-store"


def _client(path: str) -> str:
    """Return the client id of /_nicegui/client/ID/..."""
    parts: Sequence[str] = path.removeprefix(FRAMEWORK).split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "client" else ""


def _read_query(query: bytes) -> Mapping[str, str]:
    """Read a query; empty where a key is repeated, since each reader would take another value."""
    fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    pairs = dict(fields)
    return pairs if len(pairs) == len(fields) else {}


def page_of(environ: Mapping[str, Any] | None) -> tuple[str, str | None] | None:
    """Return what `Security` has verified of a socket: its page's client id, and its session's key.

    `environ` is what Engine.IO keeps of the request that opened it; None where there is no such socket.
    """
    if environ is None:
        return None
    page: tuple[str, str | None] | None = read_scope(environ).get("state", {}).get(PAGE)
    return page


def _wants_html(scope: Scope) -> bool:
    return "text/html" in Headers(scope=scope).get("accept", "")


def _refuse_lost(scope: Scope) -> Response:
    """Answer an address that does not exist: a browser is led to the log-in page, a program gets the API's error."""
    if _wants_html(scope) and scope["method"] in ("GET", "HEAD"):
        return RedirectResponse(login_url("/", ""), 303)
    refusal = Refusal("no_such_url", path=scope["path"].replace("\0", ""))
    return refuse_with(refusal, Headers(scope=scope).get("accept-language", ""))


def _foreign(path: str, t: Texts) -> Response:
    if path == LOGIN:
        return RedirectResponse(login_url("/", "", why="foreign"), 303)
    return PlainTextResponse(t("login.foreign"), 403)
