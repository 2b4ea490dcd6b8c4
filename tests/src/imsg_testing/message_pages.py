"""The rows of the message list, and the filters in the page's address."""

import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page


def address() -> str:
    """Return an address that no other test writes to."""
    return f"reader-{secrets.token_hex(4)}@example.com"


def rows(page: Page) -> Any:  # noqa: ANN401  a locator
    """Return the rows of the table."""
    return page.locator(".table-row")


def query(page: Page) -> dict[str, str]:
    """Return what the page's own address says."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
