"""The recipient of a message, as history knows it: a bounce's token only names the message."""

import time
from dataclasses import dataclass

from imsg_contract.wire import Category
from imsg_web.service_client import Peer, ServiceUnavailable

KEPT_LATER_S = 24 * 3600.0
"""How long after it was accepted history may not know a message yet: it catches up with what waits for it."""

OK, NOT_FOUND = 200, 404


class RetryLater(ConnectionError):  # noqa: N818  a state of the world
    """History, the broker or Redis is away: nothing was kept, and the same mail has to come again."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """The recipient of a message, its category and its sender."""

    address: str
    """In its normal form."""
    category: Category
    sender: str | None
    """The named sender, empty for the one that needs no name; None where its content is kept no more."""


class Addressees:
    """Reads recipients of messages from history."""

    def __init__(self, history: Peer) -> None:
        self._history = history

    async def find(self, request: str, n: int) -> Addressee | None:
        """Return the recipient of a message; None where it or its recipient was removed since. Raises RetryLater."""
        try:
            answer = await self._history.call("GET", f"/internal/recipients/{request}/{n}")
        except ServiceUnavailable as error:
            raise RetryLater(f"history is away: {error}") from error
        if answer.status_code == NOT_FOUND:
            if time.time() - _read_accepted_at_s(request) < KEPT_LATER_S:
                raise RetryLater("history does not know the message yet")
            return None
        if answer.status_code != OK:
            raise RetryLater(f"history answered {answer.status_code}")
        fields = answer.json()
        if fields["address"] is None:
            return None
        return Addressee(fields["address"], Category(fields["category"]), fields["sender"])


def _read_accepted_at_s(request: str) -> float:
    """Read the time in a UUIDv7 (RFC 9562, 5.7)."""
    return int(request[:12], 16) / 1_000
