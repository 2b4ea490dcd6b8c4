"""The fixtures of auth's tests: one auth per module on a Redis database of its own, and a new user for each test."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from imsg_runtime.redis import Redis, connect
from imsg_testing.auth import Visitor, running, settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(valkey_url: str) -> str:
    """Return the URL of a Redis database of this module's own, for broker and limits."""
    url = valkey_url.removesuffix("/0") + f"/{1 + secrets.randbelow(15)}"
    async with connect(url) as redis:
        await redis.call("FLUSHDB")
    return url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis(url: str) -> AsyncIterator[Redis]:
    """Connect to it."""
    async with connect(url) as redis:
        yield redis


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Choose where auth keeps its users."""
    return tmp_path_factory.mktemp("auth") / "auth.db"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _auth(url: str, database: Path) -> AsyncIterator[tuple[Visitor, Visitor]]:
    async with running(settings(url, database.parent)) as visitor:
        yield visitor, await visitor.log_in("admin", "123")


@pytest.fixture
def address() -> str:
    """Choose an address no other test calls from."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::7"


@pytest.fixture
def visitor(_auth: tuple[Visitor, Visitor], address: str) -> Visitor:
    """Return a client without a token."""
    return replace(_auth[0], address=address)


@pytest.fixture
def admin(_auth: tuple[Visitor, Visitor], address: str) -> Visitor:
    """Return the documented administrator, logged in."""
    return replace(_auth[1], address=address)


@pytest_asyncio.fixture(loop_scope="module")
async def user(admin: Visitor, visitor: Visitor) -> Visitor:
    """Register a new user with the password `battery staple`, and log in."""
    name = f"张-{secrets.token_hex(6)}"
    await admin.post("/api/register", username=name, password="battery staple")
    return await visitor.log_in(name, "battery staple")
