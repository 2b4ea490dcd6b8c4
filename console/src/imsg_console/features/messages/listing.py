"""A listing of messages, page by page: where each page begins, and how to get to one far away."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

PAGE = 50
STRIDE = 500
"""The most messages the API gives at once: how far one call walks towards a page far away."""

MAX_PAGE = 100_000

SEEKS = 20
"""Calls for one page where a part of a recipient is sought: each looks at thousands of messages."""

Message = Mapping[str, Any]


def read_page(text: str) -> int:
    """Read the number of a page as somebody or a URL wrote it; the first where it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE))
    return max(1, min(int(text), MAX_PAGE)) if is_number else 1


class Asks(Protocol):
    """The part of the API that is needed here."""

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Ask. Raises ApiError, SessionOver."""


@dataclass(frozen=True, slots=True)
class Part:
    """One page of the listing."""

    number: int
    """From 1, newest first."""
    cursor: str | None
    messages: Sequence[Message]
    next: str | None


class Listing:
    """Pages of what fits some filters. The API knows only what comes next, so where pages begin is remembered."""

    def __init__(self, api: Asks, asked: Mapping[str, str], *, page: int = PAGE, what: str = "messages") -> None:
        """List `messages`, or `requests`."""
        self._api = api
        self._what = what
        self._asked = dict(asked)
        self._page = page
        self._begins: dict[int, str | None] = {1: None}

    def knows(self, number: int, cursor: str) -> None:
        """Remember where a page begins, as a shared link says."""
        if 1 < number <= MAX_PAGE:
            self._begins[number] = cursor

    async def load(self, number: int, progress: Callable[[int], None] = lambda _: None) -> Part:
        """Load a page, or the last there is before it. Raises ApiError, SessionOver.

        `progress` is told which page the walk towards it has come to.
        """
        number = max(1, min(number, MAX_PAGE))
        at = max(known for known in self._begins if known <= number)
        while at < number:
            stride = min(number - at, STRIDE // self._page)
            answer = await self._ask(self._begins[at], stride * self._page)
            if not answer["next"]:
                number = at + max(0, len(answer["messages"]) - 1) // self._page
                if number == at:
                    return self._part(at, answer)
                stride = number - at
                answer = await self._ask(self._begins[at], stride * self._page)
            at += stride
            self._begins[at] = answer["next"]
            progress(at)
        return self._part(number, await self._ask(self._begins[number], self._page))

    async def newest(self) -> Part:
        """Load the first page anew."""
        return await self.load(1)

    async def again(self, part: Part) -> Part:
        """Load a page anew from where it began."""
        return self._part(part.number, await self._ask(part.cursor, self._page))

    async def _ask(self, cursor: str | None, limit: int) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for _ in range(SEEKS):
            asked = {**self._asked, "limit": limit, "cursor": cursor}
            answer = await self._api.get(f"/api/v2/{self._what}", **asked)
            answer["messages"] = answer[self._what]
            if answer["messages"] or not answer["next"]:
                break
            cursor = answer["next"]  # a part is sought among so many, of which none had it
        return answer

    def _part(self, number: int, answer: Mapping[str, Any]) -> Part:
        if answer["next"]:
            self._begins[number + 1] = answer["next"]
        else:
            self._begins.pop(number + 1, None)
        return Part(number, self._begins.get(number), answer["messages"], answer["next"])
