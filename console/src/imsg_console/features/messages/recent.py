"""Lists that somebody has sent, found among all their messages: newest first, however many were sent since."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from imsg_console.client import ApiError, path

LOOKED_AT = 200
"""Messages asked for at once."""

LISTS = 5
"""Lists found at a time."""

CALLS = 10
"""The most calls for them: who has sent thousands of single messages since goes on by a button."""


class Asks(Protocol):
    """The part of the API that is needed here."""

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Ask. Raises ApiError, SessionOver."""


@dataclass(frozen=True, slots=True)
class List:
    """A request to several recipients."""

    request: str
    first: Mapping[str, Any]
    """Its first message."""
    count: int
    is_more: bool
    """Whether there are more than `count`."""


class Recent:
    """Walks back through somebody's requests. A list is passed over by its time: its messages are not read."""

    def __init__(self, api: Asks, username: str) -> None:
        self._api, self._username = api, username
        self._until = self._cursor = ""
        self._seen: set[str] = set()
        self.is_at_end = False
        """Whether there are no older ones."""

    async def more(self) -> list[List]:
        """Find the next few lists, perhaps none: `is_at_end` says whether it is worth asking on. Raises ApiError."""
        found: list[List] = []
        for _ in range(CALLS):
            if self.is_at_end or len(found) >= LISTS:
                break
            found += await self._step()
        return [await self._count(one) for one in found]

    async def _step(self) -> list[List]:
        answer = await self._api.get(
            "/api/v2/messages", username=self._username, limit=LOOKED_AT, until=self._until, cursor=self._cursor
        )
        requests: dict[str, list[Mapping[str, Any]]] = {}
        for message in answer["messages"]:
            requests.setdefault(str(message["id"]).partition("-")[0], []).append(message)
        self.is_at_end = not answer["next"]
        cut, is_read_again = "", False  # the request that the page ends within
        if answer["next"]:
            cut = next(reversed(requests))
            at = requests[cut][0]["created_at"]
            # Whole pages of one list are passed over. Else it is read from its beginning, with the next page.
            until = at if len(requests) == 1 else _after(at)
            is_read_again = len(requests) > 1 and until != self._until
            self._cursor = answer["next"] if until == self._until else ""  # so much in one millisecond
            self._until = until
        found = []
        for request, messages in requests.items():
            is_cut = request == cut
            if request in self._seen or (is_cut and is_read_again):
                continue
            self._seen.add(request)
            if len(messages) > 1:
                found.append(List(request, messages[0], len(messages), is_cut))
        return found

    async def _count(self, one: List) -> List:
        """Count a list whose messages were not all read."""
        if not one.is_more:
            return one
        try:
            request = await self._api.get(path("/api/v2/requests", one.request))
        except ApiError:
            return one
        counts = request.get("counts")
        total = sum(counts.values()) if isinstance(counts, dict) else 0
        return List(one.request, one.first, total, is_more=False) if total >= one.count else one


def _after(at: str) -> str:
    """Return the millisecond after a time of the API's."""
    return (datetime.fromisoformat(at) + timedelta(milliseconds=1)).isoformat().replace("+00:00", "Z")
