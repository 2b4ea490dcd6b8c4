"""What arrived in the sandbox, looked at often and fetched only where something has changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_console.sandbox_client import Sandbox

MOST = 100
"""A mail comes with its source, which may have megabytes."""

Arrived = Mapping[str, Any]

CUT_AT = 64 * 1024
"""Characters of a text or a source that are read: a mail of 10 MiB is looked at, not through."""


class Arrivals:
    """The newest messages of one method, newest first."""

    def __init__(self, sandbox: Sandbox, method: str, most: int = MOST) -> None:
        self._sandbox = sandbox
        self._method = method
        self._most = most
        self._to = ""
        self._newest: object = None
        self.messages: Sequence[Arrived] = ()

    @property
    def is_cut(self) -> bool:
        """Whether there may be older ones that are not here."""
        return len(self.messages) >= self._most

    def more(self) -> None:
        """Fetch as many again of older ones at the next look."""
        self._most += self._most
        self._newest = object()

    def only(self, to: str) -> None:
        """Fetch at the next look what came for one recipient; empty: for everybody."""
        self._to = to
        self._newest = object()

    async def look(self) -> bool:
        """Look whether something has changed, and fetch it then. Raises ApiError."""
        newest = await self._fetch(1)
        seen = name(newest[0]) if newest else None
        if seen == self._newest:
            return False
        fetched = await self._fetch(self._most)
        self.messages = list(reversed(fetched))
        self._newest = name(self.messages[0]) if self.messages else None
        return True

    async def _fetch(self, limit: int) -> list[Arrived]:
        asked = {"method": self._method, "to": self._to, "limit": limit, "most": CUT_AT}
        answer = await self._sandbox.call("GET", "/sandbox/inbox", **asked)
        messages: list[Arrived] = answer["messages"]
        return messages


def name(message: Arrived) -> str:
    """Tell a message from others: the sandbox gives it no id."""
    return f"{message['at']} {message['to']} {message['message_id'] or hash(message['raw'])}"
