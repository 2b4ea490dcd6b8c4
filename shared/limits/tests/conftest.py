"""What the tests of quotas share: the run's Valkey, and a user of the test's own."""

import secrets
from collections.abc import AsyncIterator

import pytest

from imsg_runtime.redis import Redis, connect


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to the run's Valkey."""
    async with connect(valkey_url) as redis:
        yield redis


@pytest.fixture
def name() -> str:
    """Name a user no other test has."""
    return f"张-{secrets.token_hex(4)}"
