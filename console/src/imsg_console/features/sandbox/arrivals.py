"""What arrived in the sandbox: polled often, fetched only when something has changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_console.client import path
from imsg_console.sandbox_client import Sandbox

MAX_SHOWN = 100

PAGE = 500
"""Messages of one answer, at most."""

INBOX = "/sandbox/inbox"

Arrived = Mapping[str, Any]

CUT_AT = 64 * 1024
"""Characters of a text or a source that are fetched: a mail may have 10 MiB."""


class Arrivals:
    """The newest messages of one method, newest first."""

    def __init__(self, sandbox: Sandbox, method: str, max_shown: int = MAX_SHOWN) -> None:
        self._sandbox = sandbox
        self._method = method
        self._max_shown = max_shown
        self._to = ""
        self._newest: object = None
        self.messages: Sequence[Arrived] = ()

    @property
    def is_cut(self) -> bool:
        """Whether there may be older ones that are not here."""
        return len(self.messages) >= self._max_shown

    def more(self) -> None:
        """Fetch as many again of older ones at the next refresh."""
        self._max_shown += self._max_shown
        self._newest = object()

    def only(self, to: str) -> None:
        """Fetch one recipient's messages at the next refresh; empty: those of all recipients."""
        self._to = to
        self._newest = object()

    async def refresh(self) -> bool:
        """Fetch the messages if there is a new one; return whether there is. Raises ApiError."""
        newest = await self._fetch(1)
        if (name(newest[0]) if newest else None) == self._newest:
            return False
        fetched = await self._fetch(self._max_shown)
        self.messages = list(reversed(fetched))
        self._newest = name(self.messages[0]) if self.messages else None
        return True

    async def _fetch(self, limit: int) -> list[Arrived]:
        """Fetch so many of the newest, oldest first."""
        messages: list[Arrived] = []
        parameters: dict[str, object] = {"method": self._method, "to": self._to}
        while len(messages) < limit:
            parameters["limit"] = min(limit - len(messages), PAGE)
            answer = await self._sandbox.call("GET", INBOX, **parameters)
            messages = [*answer["messages"], *messages]
            if answer["next"] is None:
                break
            parameters["cursor"] = answer["next"]
        return messages

    async def read(self, message: Arrived) -> Arrived:
        """Fetch a message whole, but for what is beyond `CUT_AT`. Raises ApiError."""
        if message["is_whole"]:
            return message
        return await self._sandbox.call("GET", path(INBOX, str(message["id"])), most=CUT_AT)


def name(message: Arrived) -> str:
    """Return what tells a message from others, also from one of the same id before a restart of the sandbox."""
    return f"{message['at']} {message['id']}"
