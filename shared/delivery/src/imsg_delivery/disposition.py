"""The ways in which a worker ends a delivery."""

from enum import Enum


class Disposition(Enum):
    """How a delivery ended."""

    DONE = "done"
    REQUEUED = "requeued"
    NEEDS_ISOLATION = "needs isolation"


class Requeue(Exception):  # noqa: N818  no fault of the delivery
    """The delivery can't be completed here: it stays unacked, so that it is delivered again."""
