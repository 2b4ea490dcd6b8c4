"""sender-smtp's hook for bounces beside history: what is pushed, and what both record of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp

import imsg_history.main
import imsg_smtp.main
from imsg_broker.connect import open_broker
from imsg_broker.port import Broker
from imsg_contract.suppressions import Suppression
from imsg_contract.topology import channel_key
from imsg_contract.wire import Job, Status
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.callers import user
from imsg_testing.history import job, make_delivery, outcome
from imsg_testing.waiting import eventually
from imsg_web.service import Service
from imsg_web.service_client import connect

KEY = (SecretStr("key" * 12),)
ERASURE_KEY = (SecretStr("e" * 32),)
SIGNING = "whsec_" + "bm90aGluZyBidXQgb2N0ZXRzIHRvIHNpZ24gYnk="
SPOKEN = "a-secret-of-the-url-0123456789"
DOMAIN = "bounce.tiancun.cn"
WITHIN_S = 60.0

ADMIN = user("admin", role="admin")


@dataclass
class Place:
    """sender-smtp and history, and a reader of their data."""

    door: httpx.AsyncClient
    history: Service
    broker: Broker

    async def publish(self, *published: Any) -> None:  # noqa: ANN401  what history hears
        """Publish messages to history."""
        for body in published:
            delivery = make_delivery(body)
            await self.broker.publish(delivery.body, self.broker.topology.new(delivery.key))

    async def message(self, of: Job) -> dict[str, Any]:
        """Return the one message of a job, with its time-line; empty where it is not there."""
        async with connect("http://history", KEY, {"history": self.history}) as peer:
            answer = await peer.call("GET", "/api/messages", caller=ADMIN, params={"id": f"{of.request}-0"})
        return next(iter(answer.json()["messages"]), {})

    async def is_recorded(self, of: Job) -> None:
        """Wait until history has a job."""

        async def is_known() -> bool:
            return bool((await self.message(of)).get("to"))

        await eventually(is_known, WITHIN_S)

    async def has_status(self, of: Job, status: str) -> dict[str, Any]:
        """Wait until the message has a status; return it."""
        found: dict[str, Any] = {}

        async def has() -> bool:
            found.update(await self.message(of))
            return bool(found.get("status") == status)

        await eventually(has, WITHIN_S)
        return found

    async def send(self, **given: Any) -> Job:  # noqa: ANN401  a job's fields
        """Publish the job and the outcome of a sent mail; wait until history has them."""
        accepted_job = job(to=("zhang@corp.cn",), **given)
        await self.publish(accepted_job, outcome(accepted_job, Status.SENT, at=datetime.now(UTC)))
        await self.has_status(accepted_job, "sent")
        return accepted_job

    async def learned(self) -> Suppression:
        """Return the next suppression published to the catalog."""
        async with asyncio.timeout(WITHIN_S), self.broker.consume(self.broker.topology.catalog, 1) as deliveries:
            delivery = await anext(deliveries)
            await self.broker.ack(delivery)
            return Suppression.model_validate_json(delivery.body)

    async def push(self, raw: bytes, *, to: str = "", path: str = f"/hooks/smtp/{SPOKEN}") -> httpx.Response:
        """Push a mail as a pipe does."""
        params = {"recipient": to} if to else {}
        return await self.door.post(path, content=raw, params=params, headers={"content-type": "message/rfc822"})


async def no_history(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's own
    """Fail as a history that is unavailable."""
    del scope, receive, send
    raise ConnectionError("gone")


def mail_settings(broker_url: str, redis_url: str, secrets: str) -> imsg_smtp.main.Settings:
    """Return settings of sender-smtp that take pushed bounces."""
    return imsg_smtp.main.Settings(
        broker_url=broker_url,
        redis_url=redis_url,
        service_key=KEY,
        erasure_key=ERASURE_KEY,
        history_url="http://history",
        smtp=imsg_smtp.main.Smtp.model_validate(
            {
                "host": "127.0.0.1",
                "port": 1,
                "sender": "noreply@tiancun.cn",
                "bounce_domain": DOMAIN,
                "bounce_secret": secrets,
            }
        ),
    )


@asynccontextmanager
async def open_door(
    history: ASGIApp, broker_url: str, redis_url: str, secrets: str = f"{SIGNING},{SPOKEN}"
) -> AsyncIterator[httpx.AsyncClient]:
    """Run sender-smtp."""
    service = imsg_smtp.main.app(mail_settings(broker_url, redis_url, secrets), {"history": history})
    headers = {"accept-language": "en"}
    async with (
        service.running(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(service), base_url="http://smtp", headers=headers, timeout=20
        ) as client,
    ):
        yield client


@asynccontextmanager
async def open_history(folder: Path, redis_url: str) -> AsyncIterator[Service]:
    """Run history."""
    url = f"sqlite:///{folder}/history.db"
    settings = imsg_history.main.Settings(
        database_url=url, broker_url=redis_url, redis_url=redis_url, service_key=KEY, erasure_key=ERASURE_KEY
    )
    service = imsg_history.main.app(settings)
    async with service.running():

        async def is_ready() -> bool:
            return service.unmet() == []

        await eventually(is_ready, WITHIN_S)
        yield service


@asynccontextmanager
async def open_place(folder: Path, redis_url: str) -> AsyncIterator[Place]:
    """Run both, with the channel paused: what it has sent is what a test publishes."""
    async with connect_redis(redis_url) as redis:
        await redis.call("HSET", channel_key("smtp"), "paused", "1")
    async with (
        open_history(folder, redis_url) as history,
        open_door(history, redis_url, redis_url) as door,
        open_broker(redis_url) as broker,
    ):

        async def is_ready() -> bool:
            return broker.ready and (await door.get("/health/ready")).status_code == 200

        await eventually(is_ready, WITHIN_S)
        yield Place(door, history, broker)
