"""Columns of values as PostgreSQL reads arrays (section 8.15.2 of its manual), written in one pass.

psycopg looks at each value twice, in Python: a fifth of what recording took (ADR 28).
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

Write = Callable[[Any], str]


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


WRITERS: Mapping[type, Write] = {
    int: str,
    str: _quote,
    datetime: lambda at: f'"{at.isoformat()}"',
    bytes: lambda data: f'"\\\\x{data.hex()}"',
}


def write(values: Iterable[Any]) -> str:
    """Write values of one type, or None for those that are missing, as an array."""
    return "{" + ",".join(["NULL" if value is None else WRITERS[type(value)](value) for value in values]) + "}"
