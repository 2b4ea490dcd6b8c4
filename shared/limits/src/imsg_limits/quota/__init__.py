"""Counted windows in one atomic step by Redis' clock: what a user may still send, and how often something was tried.

A charge reads the cached user and counts in the same script, so that no race and no number of gateways lets one
request more through, and a change of the user holds for the very next request. The windows are the clock hour and
the calendar day of a time zone. Lua knows no zones: the caller passes the zone's UTC offsets around now, a table of
two or three lines, and the script picks by the server's TIME.

Counts live in one hash per user. Its key holds the cached user's key as hash tag, so both are in one slot of a Redis
Cluster unless the name has braces; iMSG itself is meant for one Redis.
"""

from imsg_limits.quota.answers import (
    ALL_SENDERS,
    AT_ONCE_S,
    MOST_AT_ONCE,
    Charge,
    Charged,
    Disabled,
    Exhausted,
    Kind,
    Known,
    NoCodes,
    NotCached,
    Revoked,
    Stale,
    Used,
    Window,
    WindowName,
)
from imsg_limits.quota.charging import Quota
from imsg_limits.quota.scripts import SERVER_TIME
from imsg_limits.quota.tallies import Tallied, Tallies
from imsg_limits.quota.zone import offsets

__all__ = [
    "ALL_SENDERS", "AT_ONCE_S", "MOST_AT_ONCE", "SERVER_TIME", "Charge", "Charged", "Disabled", "Exhausted", "Kind",
    "Known", "NoCodes", "NotCached", "Quota", "Revoked", "Stale", "Tallied", "Tallies", "Used", "Window", "WindowName",
    "offsets",
]  # fmt: skip
