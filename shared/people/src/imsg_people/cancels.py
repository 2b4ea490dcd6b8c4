"""Cancel records, as senders read them beside tombstones: what was cancelled is not begun.

Scheduler owns the records and mirrors them to Redis (`topology.CANCELS`). The claims know of a cancel too; a record
stops what they have lost.
"""

from collections.abc import Collection, Sequence

ALL = "*"
"""A record of every message of a request; of some, it is their numbers, parted by commas."""

COMPLETE = b"1"
"""The value of the field CANCELS_COMPLETE."""

NOTHING_CANCELLED: Sequence[bytes | None] = [COMPLETE, None]


def find_cancelled(reply: Sequence[bytes | None], ns: Collection[int]) -> Collection[int] | None:
    """Return which of the messages `ns` are cancelled, by a reply; None where the mirror is incomplete."""
    is_complete, record = reply
    if record is None:
        return None if is_complete is None else ()
    if record.decode() == ALL:
        return ns
    return frozenset(map(int, record.decode().split(","))).intersection(ns)
