"""How many requests of a user are under way: who has many is answered at once, instead of holding what others need."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class ConcurrentRequests:
    """Counts by user, in the order of coming."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @contextmanager
    def count(self, user_id: str) -> Iterator[int]:
        """Count one more of a user's while the block runs; yield how many they are."""
        self._counts[user_id] += 1
        try:
            yield self._counts[user_id]
        finally:
            self._counts[user_id] -= 1
            if not self._counts[user_id]:
                del self._counts[user_id]

    def of(self, user_id: str) -> int:
        """How many of a user's there are."""
        return self._counts[user_id]
