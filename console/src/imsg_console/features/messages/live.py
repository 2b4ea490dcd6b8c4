"""Keeping a page of messages fresh under its reader: what changes in place, what waits to be asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imsg_console.message.filters import UNSETTLED

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class News:
    """What a look found."""

    messages: Sequence[Message]
    """What is shown already, as it is now."""
    gone: frozenset[str] = field(default_factory=frozenset)
    """Ids that are shown and fit the filters no more."""
    arrived: int = 0
    """How many are there that are not shown."""
    changed: bool = False

    @property
    def waiting(self) -> bool:
        """Whether something shown is not settled."""
        return any(is_waiting(message) for message in self.messages)


def compare(shown: Sequence[Message], fresh: Sequence[Message], *, ended: bool) -> News:
    """Compare what is shown with a fresh look at the same page; `ended`: nothing comes after it.

    What the fresh page does not reach any more, since newer ones pushed it down, stays as it was.
    """
    found = {message["id"]: message for message in fresh}
    ids = {message["id"] for message in shown}
    reach = None if ended or not fresh else _place(fresh[-1])
    gone = frozenset(
        message["id"] for message in shown if message["id"] not in found and (reach is None or _place(message) < reach)
    )
    now = [found.get(message["id"], message) for message in shown]
    last = _place(shown[-1]) if shown else None
    arrived = sum(1 for message in fresh if message["id"] not in ids and (last is None or _place(message) < last))
    changed = bool(gone or arrived) or any(_state(new) != _state(old) for new, old in zip(now, shown, strict=True))
    return News(now, gone, arrived, changed)


def _place(message: Message) -> tuple[int, int]:
    """Where a message stands: newest requests first, and in a request by its number."""
    request, _, n = str(message["id"]).partition("-")
    return (-int(request, 16), int(n or 0))


def is_waiting(one: Message) -> bool:
    """Tell whether a message, or a request, is still on its way."""
    counts = one.get("counts")
    if counts is None:
        return one["status"] in UNSETTLED
    return any(counts[status] for status in UNSETTLED)


def _state(one: Message) -> tuple[object, ...]:
    """Say how a message or a request stands, to see whether that has changed."""
    return (one.get("counts"), one.get("updated_at"), one.get("status"))
