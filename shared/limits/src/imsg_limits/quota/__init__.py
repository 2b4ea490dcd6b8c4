"""Quotas: what a user may still send, counted in Redis in one atomic step; and counters that expire.

A charge reads the cached user and counts in the same script: no race and no number of gateways lets one request more
through, and a change of the user takes effect with the next request. A request is charged to every row at once, of the
user and of the whole installation, or to none. The windows are the clock's minute and hour and the calendar's day and
month of a time zone. Lua knows no time zones: the caller passes the zone's UTC offsets around now, a table of two or
three lines, and the script chooses by the server's TIME.

Counts are one hash for each user, and one for the installation. A user's key holds the cached user's key as hash tag;
iMSG itself is made for one Redis, since a charge reads keys of both.
"""

from imsg_limits.quota.charging import ChargeResult, Quota
from imsg_limits.quota.counters import Count, Counters
from imsg_limits.quota.results import (
    ALL_SENDERS,
    BURST_S,
    MAX_BURST,
    CachedUser,
    Capped,
    Charged,
    CodesForbidden,
    Cost,
    CountryNotAllowed,
    Exhausted,
    Kind,
    Scope,
    SendingDisabled,
    StaleCategory,
    StaleToken,
    TokenRevoked,
    Usage,
    UserNotCached,
    Window,
)
from imsg_limits.quota.rows import (
    MAX_TESTS,
    PER_DAY,
    PER_HOUR,
    RECIPIENTS_PER_DAY,
    TESTS_PER_DAY,
    Per,
    QuotaRow,
    Unit,
    encode_rows,
    encode_user_rows,
    name_row,
)
from imsg_limits.quota.zone import offsets
from imsg_limits.server_time import SERVER_TIME

__all__ = [
    "ALL_SENDERS",
    "BURST_S",
    "MAX_BURST",
    "MAX_TESTS",
    "PER_DAY",
    "PER_HOUR",
    "RECIPIENTS_PER_DAY",
    "SERVER_TIME",
    "TESTS_PER_DAY",
    "CachedUser",
    "Capped",
    "ChargeResult",
    "Charged",
    "CodesForbidden",
    "Cost",
    "Count",
    "Counters",
    "CountryNotAllowed",
    "Exhausted",
    "Kind",
    "Per",
    "Quota",
    "QuotaRow",
    "Scope",
    "SendingDisabled",
    "StaleCategory",
    "StaleToken",
    "TokenRevoked",
    "Unit",
    "Usage",
    "UserNotCached",
    "Window",
    "encode_rows",
    "encode_user_rows",
    "name_row",
    "offsets",
]  # fmt: skip
