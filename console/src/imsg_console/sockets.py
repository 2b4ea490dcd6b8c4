"""Binds every socket to the page it was opened for, and to the session that opened it.

NiceGUI trusts the `client_id` that a message names, whatever socket it comes from. `security` verifies the one in the
socket's URL and keeps it in the scope; messages that name another are dropped here.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from socketio import AsyncServer
from socketio.exceptions import ConnectionRefusedError as Refused

from imsg_console.nicegui_internals import HANDSHAKE_REFUSED, IMPLICIT_HANDSHAKE, read_environ, read_handlers
from imsg_console.security import page_of
from imsg_console.session import Session, Sessions

SOLE_ARGUMENT = 1
"""An event of a page has one argument, its message."""


class Sockets:
    """Wraps NiceGUI's handlers of socket events with the check of the page."""

    def __init__(self, server: AsyncServer, sessions: Sessions, owner: Callable[[str], str | None]) -> None:
        """Wrap nothing yet. `owner` returns the session key of an open page by its client id."""
        self._server = server
        self._sessions = sessions
        self._owner = owner
        self._handlers: dict[str, Callable[..., Any]] = {}

    def bind(self) -> None:
        """Wrap all of NiceGUI's handlers, also those that a later version adds."""
        self._handlers = read_handlers(self._server)
        for name, handler in self._handlers.items():
            if name != "disconnect":  # which names no page, and knows the socket's own
                self._server.on(name, self._verify(name, handler))
        self._server.on("connect", self._connect)
        self._server.on("log", self._ignore)

    def unbind(self) -> None:
        """Restore NiceGUI's handlers."""
        for name, handler in self._handlers.items():
            self._server.on(name, handler)

    def is_of(self, transport: str, client: str, session: Session | None) -> bool:
        """Return whether a long-polling request continues a socket of the same page and session."""
        bound = page_of(read_environ(self._server, transport))
        return bound is not None and bound == (client, session.key if session else None)

    async def _connect(self, sid: str, environ: object, *_: object) -> object:
        """Shake hands at once where the URL asks for it. A page's own event of this name has no environ."""
        own: Mapping[str, Any] | None = self._server.get_environ(sid)
        if own is None or environ is not own:
            return False
        if self._session(page_of(own)) is None and IMPLICIT_HANDSHAKE in own.get("QUERY_STRING", ""):
            raise Refused(HANDSHAKE_REFUSED)
        return await _result(self._handlers["connect"](sid, own))

    def _verify(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(sid: str, *arguments: object) -> object:
            page = page_of(self._server.get_environ(sid))
            message = arguments[0] if len(arguments) == SOLE_ARGUMENT else None
            if page is None or not isinstance(message, Mapping) or message.get("client_id") != page[0]:
                return False
            session = self._session(page)
            if session is None:
                return False
            if name == "event":
                if page[0] not in self._server.rooms(sid):
                    return False  # no hand was shaken
                self._sessions.touch(session)  # events of people keep their session alive, refreshes do not
            return await _result(handler(sid, message))

        return handle

    async def _ignore(self, *_: object) -> None:
        """Drop what a browser wants to have logged."""

    def _session(self, page: tuple[str, str | None] | None) -> Session | None:
        """Return the session of the page; None where it has ended since the socket was opened."""
        if page is None or page[1] is None or self._owner(page[0]) != page[1]:
            return None
        return self._sessions.by_key(page[1])


async def _result(answer: Any) -> Any:  # noqa: ANN401  a handler of NiceGUI's, a coroutine or not
    return await answer if inspect.isawaitable(answer) else answer
