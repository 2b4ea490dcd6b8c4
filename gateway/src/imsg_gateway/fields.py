"""What a send of v2 takes beside the document's fields."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from imsg_channels.one_line import has_control
from imsg_gateway.validation_errors import field_wrong

MAX_REFERENCE = 255
SHORTEST_S, LONGEST_S = 30, 172_800
"""How short and how long a message may be tried, where the client says so: 48 h at most."""


def read_reference(fields: Mapping[str, Any]) -> str | None:
    """Read what the client calls its request. Raises Refusal wrong_type."""
    reference = fields.get("reference")
    if reference is None:
        return None
    if not isinstance(reference, str) or not 1 <= len(reference) <= MAX_REFERENCE or has_control(reference):
        zh, en = (
            f"应为 1 到 {MAX_REFERENCE} 个字符的一行文字",
            f"it must be one line of 1 to {MAX_REFERENCE} characters",
        )
        raise field_wrong("reference", zh, en)
    return reference


def read_life(fields: Mapping[str, Any]) -> timedelta | None:
    """Read how long a message is to be tried. Raises Refusal wrong_type."""
    seconds = fields.get("expires_in")
    if seconds is None:
        return None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not SHORTEST_S <= seconds <= LONGEST_S:
        zh = f"应为 {SHORTEST_S} 到 {LONGEST_S} 的整数（秒）"
        raise field_wrong("expires_in", zh, f"it must be an integer from {SHORTEST_S} to {LONGEST_S}, in seconds")
    return timedelta(seconds=seconds)
