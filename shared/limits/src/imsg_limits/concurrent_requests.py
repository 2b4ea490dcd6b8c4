"""The number of concurrent requests of each user."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ConcurrentRequests:
    """Counts concurrent requests by user."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @contextmanager
    def count(self, user_id: str) -> Iterator[int]:
        """Count a request of a user while the block runs; yield the number with it."""
        self._counts[user_id] += 1
        try:
            yield self._counts[user_id]
        finally:
            self._counts[user_id] -= 1
            if not self._counts[user_id]:
                del self._counts[user_id]

    def of(self, user_id: str) -> int:
        """Return the number of a user's requests."""
        return self._counts[user_id]
