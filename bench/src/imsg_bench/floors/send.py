"""The floor of POST /api/send: a bare ASGI app that counts in Redis and publishes, and does nothing else.

No token, no checks, no parsing: one Lua call that shares its pipeline with the calls of the same moment, one publish
of a prebuilt Job, confirmed by both queues, one short answer.
Run: `uvicorn --factory imsg_bench.floors.send:app`, settings in the environment.
"""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
import redis.asyncio
from pika.adapters.asyncio_connection import AsyncioConnection  # type: ignore[import-untyped]

Message = MutableMapping[str, Any]

COUNT = """
local hour, day = redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[2])
if hour > tonumber(ARGV[1]) or day > tonumber(ARGV[2]) then return 0 end
return 1
"""

PLACE = b"00000000000000000000000000000000"
"""Where the request's id stands in the prebuilt Job."""


class BatchedCounter:
    """Calls of the same turn of the loop share a round trip."""

    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(url)
        self._waiting: list[asyncio.Future[int]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._sha = ""

    async def open(self) -> None:
        """Load the script."""
        self._sha = await self._client.script_load(COUNT)

    async def count(self) -> int:
        """Count one request."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            pipeline = self._client.pipeline(transaction=False)
            for _ in batch:
                pipeline.evalsha(self._sha, 2, "floor:hour", "floor:day", 1_000_000_000, 1_000_000_000)
            for future, reply in zip(batch, await pipeline.execute(), strict=True):
                future.set_result(reply)
        self._flushing = None


class ConfirmedPublisher:
    """One channel with many confirms in flight."""

    def __init__(self, url: str, exchange: str, key: str) -> None:
        self._url = url
        self._exchange = exchange
        self._key = key
        self._tag = 0
        self._in_flight: dict[int, asyncio.Future[None]] = {}
        self._channel: Any = None
        self._properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)

    async def open(self) -> None:
        """Connect and have publishes confirmed."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()

        def on_channel(channel: Any) -> None:  # noqa: ANN401  pika has no types
            self._channel = channel
            channel.confirm_delivery(self._on_confirm, callback=lambda _: opened.set_result(None))

        AsyncioConnection(
            pika.URLParameters(self._url),
            on_open_callback=lambda connection: connection.channel(on_open_callback=on_channel),
            custom_ioloop=loop,
        )
        await opened

    def publish(self, body: bytes) -> asyncio.Future[None]:
        """Publish; the future is done when both queues have it."""
        self._tag += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_flight[self._tag] = future
        self._channel.basic_publish(self._exchange, self._key, body, self._properties, mandatory=True)
        return future

    def _on_confirm(self, frame: Any) -> None:  # noqa: ANN401
        tag, multiple = frame.method.delivery_tag, frame.method.multiple
        for confirmed in [known for known in self._in_flight if known <= tag] if multiple else [tag]:
            self._in_flight.pop(confirmed).set_result(None)


class Floor:
    """The ASGI app."""

    def __init__(self, counting: BatchedCounter, publishing: ConfirmedPublisher, job: bytes) -> None:
        self._counting = counting
        self._publishing = publishing
        self._before, _, self._after = job.partition(PLACE)

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await receive()
            await self._counting.open()
            await self._publishing.open()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        while (await receive()).get("more_body"):
            pass
        await self._counting.count()
        request = uuid.uuid4().hex.encode()
        await self._publishing.publish(self._before + request + self._after)
        body = b'{"errorCode":0,"errorMessage":"OK","id":"%b","count":1}' % request
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def app() -> Floor:
    """Make the app from the environment."""
    environment = os.environ
    publishing = ConfirmedPublisher(environment["FLOOR_AMQP"], environment["FLOOR_EXCHANGE"], environment["FLOOR_KEY"])
    return Floor(BatchedCounter(environment["FLOOR_REDIS"]), publishing, Path(environment["FLOOR_JOB"]).read_bytes())
