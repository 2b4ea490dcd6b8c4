"""Serves the pages with NiceGUI: its settings, the layout around each page, the owner of each open one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, compile_path
from starlette.types import ASGIApp

from imsg_console import layout
from imsg_console.client import Api, Gateway, SessionOver
from imsg_console.features.login.page import LoginPage
from imsg_console.files import Files
from imsg_console.html_bodies import Bodies
from imsg_console.message_bounds import MESSAGE_BYTES
from imsg_console.nicegui_internals import LocalizedPage, remove_page, set_up, socket_server
from imsg_console.origin import Origins
from imsg_console.pages import PAGES
from imsg_console.paths import BODIES, FILES, ICON, MISSING, STATIC, login_url
from imsg_console.preferences import LANGUAGES, current
from imsg_console.readers import Readers
from imsg_console.sandbox_client import Sandbox
from imsg_console.security import Security
from imsg_console.session import Session, Sessions
from imsg_console.sockets import Sockets
from imsg_console.style_sheets import ICON_FILE, StyleSheets
from imsg_console.texts import Texts, read_sentences
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View

RECONNECT_S = 30.0
"""How long a page waits for its browser: a sleeping phone, a tunnel, a restart of the proxy."""

BUILD_S = 30.0
"""How long a page may take to be drawn: the calls of the API inside have shorter bounds of their own."""

UPLOAD_BYTES = 16 * 1024 * 1024
"""The largest request: as much as POST /api/v2/messages takes."""

MAX_TABS = 40
"""Open pages of a session; the oldest is discarded for a new one."""


SANDBOX_KNOWN_S = 30.0
"""How long the knowledge is kept whether the sandbox runs."""


@dataclass(frozen=True, slots=True)
class Web:
    """What the pages need."""

    gateway: Gateway
    sandbox: Gateway | None
    """The sandbox; None where its URL is not set."""
    sessions: Sessions
    origins: Origins
    timezone: str
    is_exposed: bool
    """Whether other machines reach us: then the documented password is not mentioned."""
    now: Callable[[], float]


@asynccontextmanager
async def open_pages(web: Web) -> AsyncIterator[ASGIApp]:
    """Serve the pages while the context lasts. One at a time in a process: NiceGUI's app is a global of its own."""
    for language in LANGUAGES.values():
        await asyncio.to_thread(read_sentences, language)  # so that no request waits for files
    pages = _Pages(web)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, max_body_size=UPLOAD_BYTES)
    login = LoginPage(web.gateway, web.sessions, web.origins, web.is_exposed)
    app.router.routes.extend(
        [
            *login.routes(),
            Route(ICON, _icon),
            Mount(STATIC.rstrip("/"), StyleSheets()),
            Route(f"{BODIES}{{name}}", pages.bodies.show),
            Route(f"{FILES}{{name}}", pages.files.send),
        ]
    )
    pages.register()
    _configure(app)
    async with app.router.lifespan_context(app):
        yield Security(
            app,
            web.sessions,
            web.origins,
            is_page=pages.is_page,
            owner=pages.owner,
            goes_on=pages.sockets.is_of,
        )
    pages.unregister()


def _configure(app: FastAPI) -> None:
    """Set NiceGUI up: no Tailwind compiler, nothing kept on disk, nothing announced, no bar of its own."""
    set_up(
        app,
        message_bytes=MESSAGE_BYTES,
        log_filter=layout.ExpectedErrors(),
        title="iMSG",
        favicon=ICON_FILE,
        dark=None,
        tailwind=False,
        reconnect_timeout=RECONNECT_S,
        binding_refresh_interval=None,
        show_welcome_message=False,
    )


class _Pages:
    """Draws pages inside the layout, and knows the session of each open one."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._owners: dict[str, str] = {}
        self._sandbox = (float("-inf"), False)
        self.bodies = Bodies()
        self.files = Files()
        self.readers = Readers()
        self.sockets = Sockets(socket_server(), web.sessions, self.owner)
        self._shapes = [compile_path(page.path)[0] for page in PAGES]

    def is_page(self, path: str) -> bool:
        """Return whether a page has this address."""
        return any(shape.match(path) for shape in self._shapes)

    def owner(self, client: str) -> str | None:
        """Return the session that an open page belongs to."""
        return self._owners.get(client)

    def register(self) -> None:
        """Register every page with NiceGUI."""
        for page in PAGES:
            LocalizedPage(page.path, response_timeout=BUILD_S)(self._make_handler(page))
        LocalizedPage(MISSING)(self._make_handler(None))
        self.sockets.bind()

    def unregister(self) -> None:
        """Remove the pages from NiceGUI."""
        self.sockets.unbind()
        for page in PAGES:
            remove_page(page.path)

    def _make_handler(self, shown: Page | None) -> Callable[[Request], Any]:
        async def show(request: Request) -> Response | None:
            session: Session = request.state.session
            view = await self._view(request, session)
            self._own(ui.context.client, session, view)
            if shown is None:
                ui.context.client.status_code = 404
                start_timers = layout.render_layout(view, Page("", "missing_title", Group.USER, _draw_nothing), PAGES)
                layout.draw_missing(view)
                start_timers()
                return None
            if shown.path == "/" and not session.sees_all:
                return RedirectResponse("/mine", 303)
            start_timers = layout.render_layout(view, shown, PAGES)
            if not layout.is_visible(shown, view):
                ui.context.client.status_code = 403
                layout.draw_forbidden(view)
                start_timers()
                return None
            try:
                await shown.show(view)
            except SessionOver:
                self._web.sessions.end(session, "ended")
                return RedirectResponse(login_url(view.path, request.url.query, "ended"), 303)
            except Exception as error:  # noqa: BLE001  the edge: whatever a page raises becomes a sentence
                layout.show_failure(view, error)
            start_timers()
            return None

        return show

    async def _view(self, request: Request, session: Session) -> View:
        wanted = current.get()
        sandbox = Sandbox(self._web.sandbox or self._web.gateway, session.token, wanted.accept_language)
        return View(
            api=Api(self._web.gateway, session, wanted.accept_language),
            t=Texts(wanted.language),
            session=session,
            preferences=wanted,
            path=request.url.path,
            segments=dict(request.path_params),
            query=dict(request.query_params),
            sandbox=sandbox,
            timezone=self._web.timezone,
            times=TimeFormat(self._web.timezone, english=wanted.language == "en"),
            has_sandbox=session.is_admin and await self._has_sandbox(sandbox),
            bodies=self.bodies,
            files=self.files,
            readers=self.readers,
        )

    async def _has_sandbox(self, sandbox: Sandbox) -> bool:
        if self._web.sandbox is None:
            return False
        asked_at, known = self._sandbox
        if self._web.now() - asked_at > SANDBOX_KNOWN_S:
            known = await sandbox.is_there()
            self._sandbox = (self._web.now(), known)
        return known

    def _own(self, client: Client, session: Session, view: View) -> None:
        for tab in list(session.tabs.values())[: max(0, len(session.tabs) - MAX_TABS + 1)]:
            tab.discard()
        self._owners[client.id] = session.key
        session.tabs[client.id] = layout.Tab(client, view.path)

        def forget() -> None:
            self._owners.pop(client.id, None)
            session.tabs.pop(client.id, None)
            self.readers.end(client.id)

        client.on_delete(forget)


async def _icon(_: Request) -> Response:
    return FileResponse(ICON_FILE)


async def _draw_nothing(_: View) -> None:
    """Draw nothing."""
