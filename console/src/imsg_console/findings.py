"""How the findings of the system's status look, and the page where one goes on."""

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
"""Part → the page where one goes on."""
