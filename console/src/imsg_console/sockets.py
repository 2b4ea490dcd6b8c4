"""Every socket speaks for one page: the one it was opened for, of the session that opened it.

NiceGUI goes by the `client_id` that a message names, and lets a socket name any. `security` reads the one that stands
in the socket's URL, verifies it and leaves it in the scope; nothing else is believed here.
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
"""What a page says has one argument, its message."""


class Sockets:
    """NiceGUI's handlers of what comes over sockets, behind the question whose page speaks."""

    def __init__(self, server: AsyncServer, sessions: Sessions, owner: Callable[[str], str | None]) -> None:
        """`owner` (client id → session key) says whose page is open."""
        self._server = server
        self._sessions = sessions
        self._owner = owner
        self._heard: dict[str, Callable[..., Any]] = {}

    def bind(self) -> None:
        """Stand before NiceGUI's handlers, all of them: one that a later version adds has no way past."""
        self._heard = read_handlers(self._server)
        for name, handler in self._heard.items():
            if name != "disconnect":  # which names no page, and knows the socket's own
                self._server.on(name, self._verify(name, handler))
        self._server.on("connect", self._connect)
        self._server.on("log", self._ignore)

    def unbind(self) -> None:
        """Leave NiceGUI as it was."""
        for name, handler in self._heard.items():
            self._server.on(name, handler)

    def is_of(self, transport: str, client: str, session: Session | None) -> bool:
        """Tell whether a long-polling request goes on with a socket of the same page and session."""
        bound = page_of(read_environ(self._server, transport))
        return bound is not None and bound == (client, session.key if session else None)

    async def _connect(self, sid: str, environ: object, *_: object) -> object:
        """Shake hands at once where the URL asks for it. A page may send an event of this name too, with no environ."""
        own: Mapping[str, Any] | None = self._server.get_environ(sid)
        if own is None or environ is not own:
            return False
        if self._session(page_of(own)) is None and IMPLICIT_HANDSHAKE in own.get("QUERY_STRING", ""):
            raise Refused(HANDSHAKE_REFUSED)
        return await _result(self._heard["connect"](sid, own))

    def _verify(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        async def hear(sid: str, *said: object) -> object:
            page = page_of(self._server.get_environ(sid))
            message = said[0] if len(said) == SOLE_ARGUMENT else None
            if page is None or not isinstance(message, Mapping) or message.get("client_id") != page[0]:
                return False
            session = self._session(page)
            if session is None:
                return False
            if name == "event":
                if page[0] not in self._server.rooms(sid):
                    return False  # no hand was shaken
                self._sessions.touch(session)  # what people do keeps their session alive, and only that
            return await _result(handler(sid, message))

        return hear

    async def _ignore(self, *_: object) -> None:
        """Write nothing: what a browser wants in our log."""

    def _session(self, page: tuple[str, str | None] | None) -> Session | None:
        """Return the session whose page it still is; it may have ended since the socket was opened."""
        if page is None or page[1] is None or self._owner(page[0]) != page[1]:
            return None
        return self._sessions.by_key(page[1])


async def _result(answered: Any) -> Any:  # noqa: ANN401  a handler of NiceGUI's, a coroutine or not
    return await answered if inspect.isawaitable(answered) else answered
