"""The UTC offsets of a time zone around now, for Lua, which knows no time zones."""

import math
from datetime import datetime, timedelta, tzinfo

TABLE_REACH_S = 45 * 86_400
"""How far the table of offsets reaches either way: clocks of gateway and Redis may differ by so much."""

_SAMPLE_S = 6 * 3_600


def offsets(zone: tzinfo, around: float) -> tuple[int, ...]:
    """List a zone's UTC offsets around a Unix time, flat: from when (seconds), offset (seconds), and so on.

    The first holds from before the table on, the last for ever after it.
    """
    at = math.floor(around) - TABLE_REACH_S
    end = math.floor(around) + TABLE_REACH_S
    table = [at, _offset(zone, at)]
    while at < end:
        later = at + _SAMPLE_S
        if (offset := _offset(zone, later)) != table[-1]:
            table += [_turn(zone, at, later), offset]
        at = later
    return tuple(table)


def _turn(zone: tzinfo, before: int, after: int) -> int:
    old = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: tzinfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
    return round(offset.total_seconds())
