"""Whether the database accepts writes: a full or read-only one, or one without our rights, still answers reads."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from imsg_database.unavailable import DatabaseUnavailable, find_state

HELD_S = 15.0
"""How long a refused write counts: writers try again within 5 s, so that readiness does not flap."""

LOST = ("08", "40", "55", "57")
"""SQLSTATE classes that refuse nothing: the connection ended, another transaction was in the way, or a timeout."""

TOO_MANY_CONNECTIONS = "53300"


class WriteHealth:
    """Records when the database last refused a write."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused_at: float | None = None

    @property
    def is_well(self) -> bool:
        """Whether no write was refused lately."""
        return self._refused_at is None or self._clock() - self._refused_at > HELD_S

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Record a refusal of the write in the block."""
        try:
            yield
        except DatabaseUnavailable as unavailable:
            if is_refusal(unavailable.__cause__):
                self._refused_at = self._clock()
            raise


def is_refusal(error: BaseException | None) -> bool:
    """Return whether the database answered and refused the write; False where it was unavailable or busy."""
    if not isinstance(error, DBAPIError) or (error.connection_invalidated and not find_state(error)):
        return False
    if state := find_state(error):
        return state[:2] not in LOST and state != TOO_MANY_CONNECTIONS
    return not any(word in str(error.orig) for word in ("locked", "busy"))
