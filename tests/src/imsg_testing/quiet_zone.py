"""A time zone in which no hour, day or month ends while tests run: what they then count is of one window.

The windows of quotas and the days of reports are those of a zone that is a setting, so nobody has to wait for a clock.
"""

import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

SPARE = timedelta(minutes=30)
"""How long from now no hour ends. Longer than a run of `make test-long` lets its servers live."""

_NAMES = ("Asia/Shanghai", "Asia/Kathmandu", "America/St_Johns", "Etc/GMT-14", "Australia/Eucla", "Asia/Kolkata")
"""The product's default first; then others by the minute and the hour at which their days begin."""


def find_quiet_zone(now_s: float | None = None) -> str:
    """Return the IANA name of a zone whose present hour goes on for `SPARE`, and whose day and month for longer.

    `now_s` is in Unix seconds, by default the present moment.
    """
    now = time.time() if now_s is None else now_s
    return next(name for name in _NAMES if _is_quiet(datetime.fromtimestamp(now, ZoneInfo(name))))


def _is_quiet(local: datetime) -> bool:
    later = local + SPARE
    return later.hour == local.hour and 1 <= local.hour <= 22
