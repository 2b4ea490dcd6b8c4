"""Whom a message went to, asked of history: a token says which message it was, and no more has room in it."""

import time
from dataclasses import dataclass

from imsg_contract.wire import Category
from imsg_web.service_client import Peer, ServiceUnavailable

KEPT_LATER_S = 24 * 3600.0
"""How long after it was accepted history may not know a message yet: it catches up with what waits for it."""

OK, NOT_FOUND = 200, 404


class Later(ConnectionError):  # noqa: N818  a state of the world
    """What is needed is away: nothing is taken in, and the same has to come again."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom a message went to, and as whose."""

    address: str
    """In its normal form."""
    category: Category
    sender: str | None
    """The named sender, empty for the one that needs no name; None where its content is kept no more."""


class Addressees:
    """Asks history."""

    def __init__(self, history: Peer) -> None:
        self._history = history

    async def find(self, request: str, n: int) -> Addressee | None:
        """Say whom a message went to; None where it or its recipient was removed since. Raises Later."""
        try:
            answer = await self._history.call("GET", f"/internal/recipients/{request}/{n}")
        except ServiceUnavailable as error:
            raise Later(f"history is away: {error}") from error
        if answer.status_code == NOT_FOUND:
            if time.time() - _read_accepted_at_s(request) < KEPT_LATER_S:
                raise Later("history does not know the message yet")
            return None
        if answer.status_code != OK:
            raise Later(f"history answered {answer.status_code}")
        said = answer.json()
        if said["address"] is None:
            return None
        return Addressee(said["address"], Category(said["category"]), said["sender"])


def _read_accepted_at_s(request: str) -> float:
    """Read the time in a UUIDv7 (RFC 9562, 5.7)."""
    return int(request[:12], 16) / 1_000
