"""What the console uses of NiceGUI and Quasar beyond their documentation.

pyproject.toml bounds NiceGUI's version; tests/test_nicegui_internals.py checks a new one.
"""

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import nicegui.client
from fastapi import FastAPI
from jinja2 import BaseLoader, Environment
from nicegui import core, ui
from nicegui.client import Client
from nicegui.element import Element
from nicegui.language import Language
from nicegui.page import page
from socketio import AsyncServer
from starlette.middleware.gzip import GZipMiddleware

from imsg_console.preferences import HTML_LANGUAGES, current

FRAMEWORK = "/_nicegui/"
ASSETS = f"/_nicegui/{version('nicegui')}/"
"""NiceGUI's scripts and styles: they are public, so they need no session."""

SOCKET = "/_nicegui_ws/"

NAMESPACE = "/"
"""Of Socket.IO, in which NiceGUI registers its handlers."""

HANDSHAKE_REFUSED = "Implicit handshake failed"
"""NiceGUI's error at which its script loads the page again, which leads to the log-in page."""

IMPLICIT_HANDSHAKE = "implicit_handshake"
"""The key in a socket's query with which NiceGUI's script shakes hands by connecting."""

EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The empty style sheet that NiceGUI adds where no colours are set."""

RESPONSES = 1_000
"""Answers of at least so many bytes are compressed."""


class LocalizedPage(page):
    """A page in the language and theme of its visitor."""

    def resolve_language(self) -> Language | None:
        """Return the language that HTML says and Quasar speaks."""
        return HTML_LANGUAGES[current.get().language]

    def resolve_dark(self) -> bool | None:
        """Return the theme; None: as the browser has it."""
        return current.get().dark


class NonceLoader(BaseLoader):
    """Adds the nonce to the script and style tags of NiceGUI's template: to its source, never to a page's content."""

    def __init__(self, inner: BaseLoader) -> None:
        self._inner = inner

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        """Return the source with nonces."""
        source, filename, is_fresh = self._inner.get_source(environment, template)
        for tag in ("script", "style"):
            source = source.replace(f"<{tag}", f'<{tag} nonce="{{{{ request.state.nonce }}}}"')
        return source, filename, is_fresh


def set_up(app: FastAPI, *, message_bytes: int, log_filter: logging.Filter, **options: Any) -> None:  # noqa: ANN401
    """Mount NiceGUI's pages in an app; `options` are those of `ui.run_with`."""
    environment = nicegui.client.templates.env
    if not isinstance(environment.loader, NonceLoader) and environment.loader is not None:
        environment.loader = NonceLoader(environment.loader)
    core.app.config.quasar_config["brand"] = {}
    # Quasar's loading bar has no name and is outside every landmark.
    core.app.config.quasar_config["loadingBar"] = {"skipHijack": True}
    core.sio.eio.max_http_buffer_size = message_bytes
    core.sio.eio.cors_allowed_origins = []  # `security` checks the origin
    ui.run_with(app, **options)
    # NiceGUI's middleware treats a browser that has left as a bug; `security` does what it does.
    core.app.user_middleware.clear()
    core.app.middleware_stack = None
    core.app.add_middleware(GZipMiddleware, minimum_size=RESPONSES)
    log = logging.getLogger("nicegui")
    if not any(type(present) is type(log_filter) for present in log.filters):
        log.addFilter(log_filter)


def remove_page(path: str) -> None:
    """Remove a page from NiceGUI's app, which outlives ours."""
    core.app.remove_route(path)


def socket_server() -> AsyncServer:
    """Return the server of NiceGUI's sockets."""
    return core.sio


def read_handlers(server: AsyncServer) -> dict[str, Callable[..., Any]]:
    """Return the handler of each socket event."""
    return dict(server.handlers[NAMESPACE])


def read_environ(server: AsyncServer, transport: str) -> Mapping[str, Any] | None:
    """Return what Engine.IO keeps of the request that opened a transport; None where there is none."""
    environ: Mapping[str, Any] | None = server.environ.get(transport)
    return environ


def read_scope(environ: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ASGI scope of the request that opened a socket."""
    scope: Mapping[str, Any] = environ["asgi.scope"]
    return scope


def arrange(client: Client) -> Element:
    """Lay out a page, with the header above the navigation; return the landmark of the content."""
    client.layout.props('view="hHh LpR fFf"')
    client.content.classes("page")
    return client.page_container.default_slot.children[0]
