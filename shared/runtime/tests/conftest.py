"""What the tests share: the run's Valkey."""

from collections.abc import AsyncIterator

import pytest

from imsg_runtime.redis import Redis, connect


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to the run's Valkey."""
    async with connect(valkey_url) as redis:
        yield redis
