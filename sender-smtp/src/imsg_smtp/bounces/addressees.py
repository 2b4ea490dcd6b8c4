"""Looks up the recipient of a message in history: the token of a bounce names the message only."""

import time
from dataclasses import dataclass

from imsg_contract.wire import Category
from imsg_web.service_client import Peer, ServiceUnavailable

HISTORY_LAG_S = 24 * 3600.0
"""How long after its acceptance a message may be missing in history: its record may still wait in the broker."""

OK, NOT_FOUND = 200, 404


class RetryLater(ConnectionError):  # noqa: N818  a state of the world
    """History, the broker or Redis is unavailable: nothing was kept, and the source must deliver the mail again."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """The recipient of a message, its category and its sender."""

    address: str
    """The e-mail address in its normal form."""
    category: Category
    sender: str | None
    """The named sender, empty for the default sender; None where history has deleted the content."""


class Addressees:
    """Reads recipients of messages from history."""

    def __init__(self, history: Peer) -> None:
        self._history = history

    async def find(self, request: str, n: int) -> Addressee | None:
        """Return the recipient of a message; None where history has deleted the message or the recipient.

        `request` is 32 hex digits, `n` the message's number. Raises RetryLater.
        """
        try:
            response = await self._history.call("GET", f"/internal/recipients/{request}/{n}")
        except ServiceUnavailable as error:
            raise RetryLater(f"history is unavailable: {error}") from error
        if response.status_code == NOT_FOUND:
            if time.time() - _read_accepted_at_s(request) < HISTORY_LAG_S:
                raise RetryLater("history does not know the message yet")
            return None
        if response.status_code != OK:
            raise RetryLater(f"history answered {response.status_code}")
        fields = response.json()
        if fields["address"] is None:
            return None
        return Addressee(fields["address"], Category(fields["category"]), fields["sender"])


def _read_accepted_at_s(request: str) -> float:
    """Return the time in a UUIDv7 (RFC 9562, 5.7), in Unix seconds."""
    return int(request[:12], 16) / 1_000
