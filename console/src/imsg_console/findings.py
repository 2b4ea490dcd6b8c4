"""The look of the findings of the system's status, and the page of each remedy."""

from collections.abc import Mapping
from typing import NamedTuple

MAX_WORDS = 600


class Look(NamedTuple):
    """How a level looks."""

    symbol: str
    tone: str


LEVELS: Mapping[str, Look] = {
    "fault": Look("error", "bad"),
    "notice": Look("warning", "warn"),
    "well": Look("check_circle", "good"),
}

TARGETS: Mapping[str, str] = {
    "channel": "/channels",
    "provider": "/providers",
    "dead_letters": "/channels#dead",
    "oldest": "/messages?status=queued,retrying",
}
"""Part → the page of its remedy."""
