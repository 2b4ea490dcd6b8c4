"""How far a request is: counted page by page, reading again only what was not settled yet."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

OPEN = ("queued", "retrying")
"""Statuses that are not settled."""

FAILED = ("failed", "expired")

ANSWER_BYTES = 1024 * 1024
"""About how much an answer may be: every message brings its content along."""

LEAST, MOST = 20, 500
"""Messages in a page."""


class Asks(Protocol):
    """The part of the API that lists."""

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Ask."""


@dataclass(slots=True)
class _Leaf:
    """A page of the request, by the cursor that leads to it."""

    cursor: str
    counts: Counter[str] = field(default_factory=Counter)
    is_read: bool = False

    @property
    def is_settled(self) -> bool:
        return self.is_read and not any(self.counts[status] for status in OPEN)


class Status:
    """Follows one request."""

    def __init__(self, api: Asks, request: str) -> None:
        self._api = api
        self.request = request
        self.first: Mapping[str, Any] | None = None
        """Its first message: what was sent, and when."""
        self._leaves = [_Leaf("")]
        self._limit = LEAST
        self._is_counted = False

    @property
    def counts(self) -> Counter[str]:
        """Status → messages, as far as they have been read."""
        total: Counter[str] = Counter()
        for leaf in self._leaves:
            total += leaf.counts
        return total

    @property
    def total(self) -> int:
        """How many messages there are, as far as they have been counted."""
        return sum(self.counts.values())

    @property
    def settled(self) -> int:
        """How many are settled."""
        counts = self.counts
        return sum(counts.values()) - sum(counts[status] for status in OPEN)

    @property
    def is_counted(self) -> bool:
        """Whether all of its pages have been seen."""
        return self._is_counted

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it will change but by receipts."""
        return self._is_counted and all(leaf.is_settled for leaf in self._leaves)

    async def begin(self) -> bool:
        """Read its first message; tell whether there is one. Raises ApiError, SessionOver."""
        answer = await self._api.get("/api/v2/messages", id=self.request, limit=1)
        if not answer["messages"]:
            return False
        self.first = answer["messages"][0]
        weight = len(str(self.first["content"])) * 3 + 600
        self._limit = max(LEAST, min(MOST, ANSWER_BYTES // weight))
        return True

    async def advance(self, pages: int = 4) -> None:
        """Read up to so many pages on: those never seen, else those not settled. Raises ApiError, SessionOver."""
        for _ in range(pages):
            leaf = next((one for one in self._leaves if not one.is_read), None)
            if leaf is None:
                break
            await self._read(leaf)
        if self._is_counted:
            for leaf in [one for one in self._leaves if not one.is_settled][:pages]:
                await self._read(leaf)

    async def _read(self, leaf: _Leaf) -> None:
        answer = await self._api.get("/api/v2/messages", id=self.request, limit=self._limit, cursor=leaf.cursor)
        leaf.counts = Counter(message["status"] for message in answer["messages"])
        leaf.is_read = True
        if leaf is self._leaves[-1]:
            if answer["next"]:
                self._leaves.append(_Leaf(answer["next"]))
            else:
                self._is_counted = True
