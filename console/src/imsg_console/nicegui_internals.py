"""What the console relies on inside NiceGUI and Quasar beyond what they document, once and by name.

pyproject.toml bounds NiceGUI's version; tests/test_nicegui_internals.py says of a new one what no longer holds.
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
"""NiceGUI's own scripts and styles: the same for everybody, so no session is wanted."""

SOCKET = "/_nicegui_ws/"

NAMESPACE = "/"
"""Of Socket.IO, in which NiceGUI registers its handlers."""

HANDSHAKE_REFUSED = "Implicit handshake failed"
"""NiceGUI's own word, at which its script loads the page anew: that leads to the log-in."""

IMPLICIT_HANDSHAKE = "implicit_handshake"
"""Stands in a socket's query where NiceGUI's script wants to shake hands by connecting."""

EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""A style sheet with nothing in it, which NiceGUI adds for colours that nobody named."""

RESPONSES = 1_000
"""Bytes from which on an answer is compressed."""


class LocalizedPage(page):
    """A page in the language and theme of whoever asks for it."""

    def resolve_language(self) -> Language | None:
        """Return the language that HTML says and Quasar speaks."""
        return HTML_LANGUAGES[current.get().language]

    def resolve_dark(self) -> bool | None:
        """Return the theme; None: as the browser has it."""
        return current.get().dark


class NonceLoader(BaseLoader):
    """NiceGUI's template with the nonce in its script and style tags: in the source, so never in what a page says."""

    def __init__(self, inner: BaseLoader) -> None:
        self._inner = inner

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        """Return the source with nonces."""
        source, filename, is_fresh = self._inner.get_source(environment, template)
        for tag in ("script", "style"):
            source = source.replace(f"<{tag}", f'<{tag} nonce="{{{{ request.state.nonce }}}}"')
        return source, filename, is_fresh


def set_up(app: FastAPI, *, message_bytes: int, log_filter: logging.Filter, **options: Any) -> None:  # noqa: ANN401
    """Let NiceGUI serve its pages in an app; `options` are those of `ui.run_with`."""
    environment = nicegui.client.templates.env
    if not isinstance(environment.loader, NonceLoader) and environment.loader is not None:
        environment.loader = NonceLoader(environment.loader)
    core.app.config.quasar_config["brand"] = {}
    # Quasar's bar for whatever is loading has no name and stands outside every landmark; we say ourselves what goes on.
    core.app.config.quasar_config["loadingBar"] = {"skipHijack": True}
    core.sio.eio.max_http_buffer_size = message_bytes
    core.sio.eio.cors_allowed_origins = []  # whose page may connect is for `security` to say
    ui.run_with(app, **options)
    # NiceGUI's own middleware takes a browser that left for a bug; what it does, `security` does.
    core.app.user_middleware.clear()
    core.app.middleware_stack = None
    core.app.add_middleware(GZipMiddleware, minimum_size=RESPONSES)
    log = logging.getLogger("nicegui")
    if not any(type(one) is type(log_filter) for one in log.filters):
        log.addFilter(log_filter)


def remove_page(path: str) -> None:
    """Take a page away from NiceGUI's app, which outlives ours."""
    core.app.remove_route(path)


def socket_server() -> AsyncServer:
    """Return the server of NiceGUI's sockets."""
    return core.sio


def read_handlers(server: AsyncServer) -> dict[str, Callable[..., Any]]:
    """Return what hears each event of a socket."""
    return dict(server.handlers[NAMESPACE])


def read_environ(server: AsyncServer, transport: str) -> Mapping[str, Any] | None:
    """Return what Engine.IO keeps of the request that opened a transport; None where there is no such one."""
    environ: Mapping[str, Any] | None = server.environ.get(transport)
    return environ


def read_scope(environ: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ASGI scope of the request that opened a socket."""
    scope: Mapping[str, Any] = environ["asgi.scope"]
    return scope


def arrange(client: Client) -> Element:
    """Lay a page out: header over all of it, navigation at the left; return the landmark of the content."""
    client.layout.props('view="hHh LpR fFf"')
    client.content.classes("page")
    return client.page_container.default_slot.children[0]


def add_files(upload: ui.upload, files: str) -> str:
    """Write the script that hands files (an expression of constants) to an upload's own component."""
    return f"getElement({upload.id:d}).$refs.qRef.addFiles({files})"
