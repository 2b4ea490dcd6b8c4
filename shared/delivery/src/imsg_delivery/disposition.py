"""How a delivery ends at a worker."""

from enum import Enum


class Disposition(Enum):
    """How a delivery ended."""

    DONE = "done"
    REQUEUED = "requeued"
    NEEDS_ISOLATION = "needs isolation"


class Requeue(Exception):  # noqa: N818  no fault of the delivery
    """The delivery can't go on here: leave it unacked, so that it is delivered again."""
