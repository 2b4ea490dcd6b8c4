"""Durations on the command line: 30s, 10m, 2h."""

import re

from imsg_runtime.settings import StartError

_UNITS_S = {"s": 1, "m": 60, "h": 3600}


def read_duration(text: str) -> int:
    """Return the seconds of a duration. Raises StartError."""
    match = re.fullmatch(r"([0-9]{1,6})([smh])", text)
    if match is None:
        raise StartError("{0} is no duration: write 30s, 10m or 2h.", text)
    return int(match[1]) * _UNITS_S[match[2]]
