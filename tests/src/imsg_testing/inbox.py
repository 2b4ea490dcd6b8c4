"""Read every page of the sandbox's inbox."""

from collections.abc import Callable
from typing import Any

PATH = "/sandbox/inbox"

Get = Callable[..., dict[str, Any]]
"""GETs a path with a query of these names."""


def read_heads(get: Get, **filters: str) -> list[dict[str, Any]]:
    """Return what the inbox lists, oldest first."""
    results: list[dict[str, Any]] = []
    while True:
        page = get(PATH, **filters)
        results = [*page["messages"], *results]
        if page["next"] is None:
            return results
        filters["cursor"] = page["next"]


def read_inbox(get: Get, **filters: str) -> list[dict[str, Any]]:
    """Return what the inbox holds, oldest first, each message whole."""
    heads = read_heads(get, **filters)
    return [head if head["is_whole"] else get(head["url"]) for head in heads]
