"""A running catalog."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from imsg_catalog.main import Settings, app
from imsg_contract.wire import Category
from imsg_people.suppressions import SuppressionMirror, SuppressionQuery
from imsg_runtime.redis import Redis
from imsg_testing.callers import user
from imsg_testing.waiting import eventually
from imsg_web.service import Service

KEY = "a key between services, long enough"
HEADERS = {"x-imsg-key": KEY, **user("admin", role="admin").headers(), "accept-language": "en"}
ERASURE = SecretStr("an erasure key, long enough for all of this")
WITHIN_S = 60

LOOKS = (
    "imsg_catalog.mirror.POLL_S",
    "imsg_catalog.prices.POLL_S",
    "imsg_catalog.templates.service.POLL_S",
    "imsg_people.erasing.POLL_S",
)
"""After these it looks whether Redis lacks something, and whether somebody was erased."""


class Catalog:
    """A running catalog, and what a sender reads of it."""

    def __init__(self, client: httpx.AsyncClient, redis: Redis) -> None:
        self.client = client
        self.redis = redis

    async def add(self, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
        """Add; return the answer."""
        answer = await self.client.post("/api/suppressions", json=fields)
        body: dict[str, Any] = answer.json()
        return body

    async def page(self, **params: str) -> dict[str, Any]:
        """List."""
        body: dict[str, Any] = (await self.client.get("/api/suppressions", params=params)).json()
        return body

    async def reason(
        self, address: str, sender: str | None = "", category: Category = Category.NOTICE, method: str = "smtp"
    ) -> str | None:
        """Return why a sender would skip an address."""
        mirror = SuppressionMirror(self.redis, method)
        return (await mirror.find(SuppressionQuery({0: address}, sender, category))).get(0)


@asynccontextmanager
async def run_catalog(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Catalog]:
    """Run one until the context ends; no test waits for its next look."""
    settings = Settings(
        broker_url=redis_url,
        redis_url=redis_url,
        database_url=database_url,
        service_key=(SecretStr(KEY),),
        erasure_key=(ERASURE,),
    )
    service = app(settings)
    with pytest.MonkeyPatch.context() as patch:
        for name in LOOKS:
            patch.setattr(name, 0.05)
        patch.setattr("imsg_runtime.watermark.QUIET_MS", 100)
        async with _ready_client(service) as client:
            yield Catalog(client, redis)


@asynccontextmanager
async def _ready_client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.running():

        async def is_ready() -> bool:
            return not service.unmet()

        await eventually(is_ready, WITHIN_S)
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="http://catalog", headers=HEADERS) as client:
            yield client
