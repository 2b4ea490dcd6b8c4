"""Quotas of users, charged in Redis in one atomic step; and counters that expire.

A charge reads the cached user and counts in one script: several gateways can't exceed a quota together, and a change of
the user takes effect with the next request. The windows are the clock hour and the calendar
day of a time zone. Lua knows no time zones: the caller passes the zone's UTC offsets around now, a table of two or
three lines, and the script chooses by the server's TIME.

Counts are one hash for each user. Its key holds the cached user's key as hash tag, so that both are in one slot of a
Redis Cluster unless the name has braces; iMSG itself is made for one Redis.
"""

from imsg_limits.quota.charging import Quota
from imsg_limits.quota.counters import Count, Counters
from imsg_limits.quota.results import (
    ALL_SENDERS,
    BURST_S,
    MAX_BURST,
    CachedUser,
    Charge,
    Charged,
    CodesForbidden,
    Exhausted,
    Kind,
    SendingDisabled,
    StaleToken,
    TokenRevoked,
    Usage,
    UserNotCached,
    Window,
    WindowName,
)
from imsg_limits.quota.scripts import SERVER_TIME
from imsg_limits.quota.zone import offsets

__all__ = [
    "ALL_SENDERS",
    "BURST_S",
    "MAX_BURST",
    "SERVER_TIME",
    "CachedUser",
    "Charge",
    "Charged",
    "CodesForbidden",
    "Count",
    "Counters",
    "Exhausted",
    "Kind",
    "Quota",
    "SendingDisabled",
    "StaleToken",
    "TokenRevoked",
    "Usage",
    "UserNotCached",
    "Window",
    "WindowName",
    "offsets",
]  # fmt: skip
