"""How much waits in a queue: ready by AMQP, unacked by the management API, or at least what we hold (ADR 2).

The same question of AMQP tells how many consume from it.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from imsg_broker.port import Load, Unreachable
from imsg_broker.rabbitmq.address import Address, Host
from imsg_broker.rabbitmq.amqp import Channel, Link, LinkLost
from imsg_broker.rabbitmq.connection import Life
from imsg_broker.rabbitmq.policies import contradictions
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

MANAGEMENT_TIMEOUT_S = 1.0
"""For one question to the management API: depth is asked once a second."""

FRESH_S = 0.5
"""How long an answer of the management API serves every queue."""

AWAY_S = 30.0
"""How long a management API that did not answer is left alone."""

UNACKED = {"disable_stats": "true", "enable_queue_totals": "true", "columns": "name,messages_unacknowledged"}
"""The queues' own totals, renewed with every tick of theirs (5 s); collected statistics come later and cost more."""


POLICIES_S = 60.0
"""How often policies are looked at: people change them, by hand."""

POLICIES = {"columns": "name,policy,operator_policy,effective_policy_definition"}


class Depths:
    """Counts of queues, asked on the consuming connection: a publishing one answers nothing while an alarm lasts."""

    def __init__(self, life: Life, held: Callable[[str], int], management: "Management") -> None:
        self._life = life
        self._held = held
        self._management = management
        self._channel: Channel | None = None
        self._asking = asyncio.Lock()

    async def of(self, queue: str) -> Load:
        """Count what is ready and what is unacked, and who consumes. Raises Unreachable."""
        link = self._require_link()
        async with self._asking:
            ready, consumers = await self._count(link, queue)
            unacked = await self._management.count_unacked(link.host, queue)
        return Load(ready + max(unacked, self._held(queue)), consumers)

    def _require_link(self) -> Link:
        if self._life.link is None:
            raise Unreachable("RabbitMQ is not connected")
        return self._life.link

    async def _count(self, link: Link, queue: str) -> tuple[int, int]:
        try:
            return await (await self._open(link)).count(queue)
        except LinkLost as lost:
            self._channel = None
            raise Unreachable(f"RabbitMQ can't tell the depth of {queue}: {lost}") from lost

    async def _open(self, link: Link) -> Channel:
        if self._channel is None or not self._channel.is_open:
            self._channel = await link.channel()
        return self._channel


class Management:
    """Unacked counts of all queues of the virtual host, by one request to one of the hosts; and their policies."""

    def __init__(self, address: Address, prefix: str, look_s: float = POLICIES_S) -> None:
        self._address = address
        self._prefix = prefix
        self._look_s = look_s
        self._look_again_at = 0.0
        self._told: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._ask_again_at = 0.0
        self._problem = RecurringProblem(log, "management_unavailable")
        self._away_until: dict[Host, float] = {}
        self._client: httpx.AsyncClient | None = None

    async def count_unacked(self, connected: Host, queue: str) -> int:
        """Count what is unacked, as told by the host we are connected to, or another where it tells nothing."""
        now = asyncio.get_running_loop().time()
        if now >= self._ask_again_at:
            self._ask_again_at = now + FRESH_S
            self._counts = await self._ask(connected)
        return self._counts.get(queue, 0)

    async def close(self) -> None:
        """Close what is open to the hosts; the next call reads the certificates anew."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _ask(self, connected: Host) -> dict[str, int]:
        loop = asyncio.get_running_loop()
        for host in sorted(self._address.hosts, key=lambda host: host != connected):
            if loop.time() < self._away_until.get(host, 0.0):
                continue
            try:
                queues = await self._get(host, UNACKED)
                counts = {queue["name"]: queue.get("messages_unacknowledged", 0) for queue in queues}
                if loop.time() >= self._look_again_at:
                    self._look_again_at = loop.time() + self._look_s
                    self._tell(contradictions(await self._get(host, POLICIES), self._prefix))
            except (httpx.HTTPError, TimeoutError, OSError, ValueError, TypeError, KeyError) as error:
                self._problem.note(error, url=self._address.management(host))
                self._away_until[host] = loop.time() + AWAY_S
                await self.close()
            else:
                self._problem.clear()
                return counts
        return {}

    async def _get(self, host: Host, params: Mapping[str, str]) -> Any:  # noqa: ANN401  the API's own shapes
        """Ask one host. Raises httpx.HTTPError, TimeoutError; ValueError for another answer than 200."""
        if self._client is None:
            self._client = self._open_client()
        name = self._address.server_name(host)
        async with asyncio.timeout(MANAGEMENT_TIMEOUT_S):
            answer = await self._client.get(
                self._address.management(host), params=params, extensions={"sni_hostname": name} if name else None
            )
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"it answered {answer.status_code}")
        return answer.json()

    def _open_client(self) -> httpx.AsyncClient:
        """Make the client; no proxy of the environment is used. Raises OSError, ValueError for a bad certificate."""
        verify = True if self._address.tls is None else self._address.tls.context()
        transport = httpx.AsyncHTTPTransport(verify=verify)
        auth = (self._address.username, self._address.password)
        return httpx.AsyncClient(transport=transport, auth=auth, timeout=MANAGEMENT_TIMEOUT_S)

    def _tell(self, found: dict[str, list[str]]) -> None:
        """Say once of each policy what an operator has to undo."""
        for policy, says in found.items():
            if self._told.get(policy) != says:
                remedy = (
                    f"take it off the queues {self._prefix}.*, such as by the policy of deploy/rabbitmq/policies.json"
                )
                log.error("policy_contradicts", policy=policy, says=says, remedy=remedy)
        self._told = found
