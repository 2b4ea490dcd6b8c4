"""Compares a page of messages with a refresh of it: what changes in place, and what is new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imsg_console.message.filters import UNSETTLED

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class News:
    """The result of a refresh."""

    messages: Sequence[Message]
    """The messages in view, as they are now."""
    gone: frozenset[str] = field(default_factory=frozenset)
    """Ids in view that no longer match the filters."""
    arrived: int = 0
    """How many new ones there are."""
    changed: bool = False

    @property
    def waiting(self) -> bool:
        """Whether a message in view is not settled."""
        return any(is_waiting(message) for message in self.messages)


def compare(shown: Sequence[Message], fresh: Sequence[Message], *, ended: bool) -> News:
    """Compare the messages in view with the refreshed page; `ended`: it is the last page.

    Messages that newer ones have pushed off the page stay as they were.
    """
    current = {message["id"]: message for message in fresh}
    ids = {message["id"] for message in shown}
    reach = None if ended or not fresh else _place(fresh[-1])
    gone = frozenset(
        message["id"]
        for message in shown
        if message["id"] not in current and (reach is None or _place(message) < reach)
    )
    now = [current.get(message["id"], message) for message in shown]
    last = _place(shown[-1]) if shown else None
    arrived = sum(1 for message in fresh if message["id"] not in ids and (last is None or _place(message) < last))
    changed = bool(gone or arrived) or any(_state(new) != _state(old) for new, old in zip(now, shown, strict=True))
    return News(now, gone, arrived, changed)


def _place(message: Message) -> tuple[int, int]:
    """Return a message's place: newest requests first, and in a request by its number."""
    request, _, n = str(message["id"]).partition("-")
    return (-int(request, 16), int(n or 0))


def is_waiting(message: Message) -> bool:
    """Return whether a message, or a request, is still on its way."""
    counts = message.get("counts")
    if counts is None:
        return message["status"] in UNSETTLED
    return any(counts[status] for status in UNSETTLED)


def _state(message: Message) -> tuple[object, ...]:
    """Return the state of a message or a request, to see whether it has changed."""
    return (message.get("counts"), message.get("updated_at"), message.get("status"))
