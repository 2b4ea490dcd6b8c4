"""How much waits in a queue: ready by AMQP, unacked by the management API, or at least what we hold (ADR 2)."""

import asyncio
from collections.abc import Callable

import httpx

from imsg_shared.broker import Unreachable
from imsg_shared.observe import logger
from imsg_shared.rabbit.address import Address
from imsg_shared.rabbit.amqp import Channel, Link, LinkLost
from imsg_shared.rabbit.connection import Life

log = logger(__name__)

MANAGEMENT_TIMEOUT_S = 1.0
"""For one question to the management API: depth is asked once a second."""

FRESH_S = 0.5
"""How long an answer of the management API serves every queue."""

AWAY_S = 30.0
"""How long a management API that did not answer is left alone."""

UNACKED = {"disable_stats": "true", "enable_queue_totals": "true", "columns": "name,messages_unacknowledged"}
"""The queues' own totals, renewed with every tick of theirs (5 s); collected statistics come later and cost more."""


class Depths:
    """Counts of queues, asked on the publishing connection."""

    def __init__(self, life: Life, address: Address, held: Callable[[str], int], client: httpx.AsyncClient) -> None:
        self._life = life
        self._held = held
        self._unacked = _Unacked(address, client)
        self._channel: Channel | None = None
        self._asking = asyncio.Lock()

    async def of(self, queue: str) -> int:
        """Count what is ready and what is unacked. Raises Unreachable."""
        link = self._life.link
        if link is None:
            raise Unreachable("RabbitMQ is not connected")
        async with self._asking:
            try:
                ready = await (await self._open(link)).count(queue)
            except LinkLost as lost:
                self._channel = None
                raise Unreachable(f"RabbitMQ can't tell the depth of {queue}: {lost}") from lost
            unacked = await self._unacked.of(link.host, queue)
        return ready + max(unacked, self._held(queue))

    async def _open(self, link: Link) -> Channel:
        if self._channel is None or not self._channel.is_open:
            self._channel = await link.channel()
        return self._channel


class _Unacked:
    """Unacked counts of all queues of the virtual host, by one request for all of them."""

    def __init__(self, address: Address, client: httpx.AsyncClient) -> None:
        self._address = address
        self._client = client
        self._counts: dict[str, int] = {}
        self._ask_again_at = 0.0

    async def of(self, host: str, queue: str) -> int:
        now = asyncio.get_running_loop().time()
        if now >= self._ask_again_at:
            self._counts, fresh_s = await self._asked(host)
            self._ask_again_at = now + fresh_s
        return self._counts.get(queue, 0)

    async def _asked(self, host: str) -> tuple[dict[str, int], float]:
        url = self._address.management(host)
        try:
            answer = await self._client.get(url, params=UNACKED)
            answer.raise_for_status()
            return {queue["name"]: queue.get("messages_unacknowledged", 0) for queue in answer.json()}, FRESH_S
        except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
            log.warning("management_away", url=url, error=str(error) or type(error).__name__)
            return {}, AWAY_S
