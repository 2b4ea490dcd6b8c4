"""The chunks of a job: how many messages of a request are claimed and sent together, by their numbers.

The name of a message's chunk follows from its number alone, so that a cancel finds it before the job is cut.
"""

from collections.abc import Mapping

CHUNK_SIZES: Mapping[str, int] = {"smtp": 50, "sms": 1_000, "wechat": 100, "wecom": 20}
"""The channel's messages of one chunk. Never change one while jobs wait."""

DEFAULT_CHUNK_SIZE = 100
"""The size for a channel that another distribution adds."""


def find_chunk_size(method: str) -> int:
    """Return how many messages a chunk of a channel has."""
    return CHUNK_SIZES.get(method, DEFAULT_CHUNK_SIZE)


def first_of(n: int, size: int) -> int:
    """Return the number of the first message of the chunk that message `n` belongs to."""
    return n - n % size
