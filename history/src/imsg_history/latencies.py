"""The buckets of the times that messages take, from acceptance to sent and to delivered."""

from bisect import bisect_left

LATENCIES_S = (1, 2, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)
"""Upper bounds of the buckets; one more bucket has none."""


def find_bucket(seconds: float) -> int:
    """Return the bucket of a time."""
    return bisect_left(LATENCIES_S, seconds)
