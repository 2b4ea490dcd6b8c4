"""Both brokers, opened for a test, and what tests do to them from outside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import quote

import httpx
import redis.asyncio

from imsg_broker import rabbitmq, redis_streams
from imsg_broker.port import Broker, Delivery, Unreachable
from imsg_broker.rabbitmq.address import parse
from imsg_channels import METHODS
from imsg_contract.topology import Topology
from imsg_testing.waiting import eventually

READY_WITHIN_S = 60.0
ARRIVES_WITHIN_S = 60.0


def unready(
    url: str, topology: Topology | None = None, redeclare_s: float = 30.0
) -> AbstractAsyncContextManager[Broker]:
    """Open the broker of a URL, with the queues of all channels where no others are named, without waiting for it."""
    connect = rabbitmq.connect if url.startswith("amqp") else redis_streams.connect
    return connect(url, topology or Topology(methods=METHODS), redeclare_s=redeclare_s)


@asynccontextmanager
async def open_ready(url: str, topology: Topology | None = None, redeclare_s: float = 30.0) -> AsyncIterator[Broker]:
    """Open the broker of a URL as `unready` does, and wait until it is ready."""
    async with unready(url, topology, redeclare_s) as broker:
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        yield broker


async def is_so(holds: Callable[[], bool], within_s: float = ARRIVES_WITHIN_S) -> None:
    """Wait until something holds. Raises TimeoutError."""

    async def now() -> bool:
        return holds()

    await eventually(now, within_s)


async def depth_is(broker: Broker, queue: str, depth: int, within_s: float = ARRIVES_WITHIN_S) -> None:
    """Wait until a queue has a depth, over reconnects. Raises TimeoutError."""

    async def now() -> bool:
        try:
            return await broker.depth(queue) == depth
        except Unreachable:
            return False

    await eventually(now, within_s)


async def arrivals(
    deliveries: AsyncIterator[Delivery], count: int, within_s: float = ARRIVES_WITHIN_S
) -> list[Delivery]:
    """Return the next `count` deliveries. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        return [await anext(deliveries) for _ in range(count)]


async def nothing_arrives(deliveries: AsyncIterator[Delivery], for_s: float) -> bool:
    """Return whether nothing is delivered for so long."""
    try:
        await arrivals(deliveries, 1, for_s)
    except TimeoutError:
        return True
    return False


async def remove_queues(url: str, *names: str) -> None:
    """Delete queues by name; a name that ends in `*` matches a prefix."""
    if url.startswith("amqp"):
        await _remove_from_rabbit(url, names)
        return
    async with redis.asyncio.Redis.from_url(url) as client:
        keys = [key for name in names async for key in client.scan_iter(name)]
        if keys:
            await client.delete(*keys)


def management(url: str) -> httpx.AsyncClient:
    """Make a client of the management API of an amqp:// or amqps:// URL that has its port."""
    address = parse(url)
    host = address.hosts[0]
    return httpx.AsyncClient(
        base_url=f"{'http' if address.tls is None else 'https'}://{host.name}:{host.management_port}/api",
        auth=(address.username, address.password),
        verify=False if address.tls is None else address.tls.context(),
        timeout=60,
        trust_env=False,
    )


def vhost_of(url: str) -> str:
    """Return the virtual host of an amqp:// URL as paths of the management API have it."""
    return quote(parse(url).vhost, safe="")


async def _remove_from_rabbit(url: str, names: tuple[str, ...]) -> None:
    async with management(url) as client:
        there = [
            queue["name"] for queue in (await client.get(f"/queues/{vhost_of(url)}", params={"columns": "name"})).json()
        ]
        for name in there:
            if any(name == wanted or (wanted[-1] == "*" and name.startswith(wanted[:-1])) for wanted in names):
                (await client.delete(f"/queues/{vhost_of(url)}/{quote(name, safe='')}")).raise_for_status()
