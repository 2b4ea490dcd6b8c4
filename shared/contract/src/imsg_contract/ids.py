"""Ids of requests and users: UUIDv7, so that what is newer sorts later."""

import secrets
import time


def new_id(at: float | None = None) -> str:
    """Make a UUIDv7 (RFC 9562, section 5.7) as 32 hex digits: 48 bits of milliseconds, 74 of randomness.

    Its time is now, or `at` (Unix seconds).
    """
    milliseconds = time.time_ns() // 1_000_000 if at is None else int(at * 1_000)
    random = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return f"{value:032x}"


def time_of(name: str) -> float:
    """Read the time an id was made at, in Unix seconds, to the millisecond."""
    return int(name[:12], 16) / 1_000
