"""Parses the JSON arrays of receipts that most providers push."""

import json
from collections.abc import Sequence
from typing import Any


def read_entries(body: bytes) -> Sequence[Any] | None:
    """Parse a JSON array of entries, or a single entry; None if the body is neither."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(parsed, dict):
        return [parsed]
    return parsed if isinstance(parsed, list) else None
