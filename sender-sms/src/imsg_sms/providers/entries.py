"""Arrays of receipts, as most providers push them."""

import json
from collections.abc import Sequence
from typing import Any


def read_entries(body: bytes) -> Sequence[Any] | None:
    """Read a JSON array of entries, or a single one; None where it is neither."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, dict):
        return [said]
    return said if isinstance(said, list) else None
