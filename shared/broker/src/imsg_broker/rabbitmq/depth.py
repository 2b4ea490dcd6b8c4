"""The depth of queues: ready messages by AMQP, unacked ones by the management API or by our own count (ADR 2)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from imsg_broker.port import Load, Unreachable
from imsg_broker.rabbitmq.address import Address, Host
from imsg_broker.rabbitmq.amqp import Channel, Link, LinkLost
from imsg_broker.rabbitmq.connection import Reconnector
from imsg_broker.rabbitmq.policies import find_contradictions
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

MANAGEMENT_TIMEOUT_S = 1.0
"""For one request to the management API; depths are read once a second."""

FRESH_S = 0.5
"""How long the counts of one reply of the management API are used."""

RETRY_HOST_S = 30.0
"""How long a host whose management API failed is not called."""

UNACKED_QUERY = {"disable_stats": "true", "enable_queue_totals": "true", "columns": "name,messages_unacknowledged"}
"""The query for the queues' totals, which RabbitMQ renews every 5 s; collected statistics are later and cost more."""

POLICIES_S = 60.0
"""The time between reads of the policies, which operators change."""

POLICIES_QUERY = {"columns": "name,policy,operator_policy,effective_policy_definition"}


class Depths:
    """Counts of queues, read on the consuming connection: an alarm blocks the publishing one."""

    def __init__(self, reconnector: Reconnector, held: Callable[[str], int], management: "Management") -> None:
        self._reconnector = reconnector
        self._held = held
        self._management = management
        self._channel: Channel | None = None
        self._lock = asyncio.Lock()

    async def of(self, queue: str) -> Load:
        """Return the depth of a queue and the number of its consumers. Raises Unreachable."""
        link = self._require_link()
        async with self._lock:
            ready, consumers = await self._count(link, queue)
            unacked = await self._management.count_unacked(link.host, queue)
        return Load(ready + max(unacked, self._held(queue)), consumers)

    def _require_link(self) -> Link:
        if self._reconnector.link is None:
            raise Unreachable("RabbitMQ is not connected")
        return self._reconnector.link

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
    """The management API: unacked counts of all queues of the virtual host, and their policies."""

    def __init__(self, address: Address, prefix: str, policies_every_s: float = POLICIES_S) -> None:
        self._address = address
        self._prefix = prefix
        self._policies_every_s = policies_every_s
        self._policies_at = 0.0
        self._reported: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._counts_at = 0.0
        self._problem = RecurringProblem(log, "management_unavailable")
        self._retry_at: dict[Host, float] = {}
        self._client: httpx.AsyncClient | None = None

    async def count_unacked(self, connected: Host, queue: str) -> int:
        """Return the unacked messages of a queue, by the connected host or the next that answers; 0 if none does."""
        now = asyncio.get_running_loop().time()
        if now >= self._counts_at:
            self._counts_at = now + FRESH_S
            self._counts = await self._fetch_counts(connected)
        return self._counts.get(queue, 0)

    async def close(self) -> None:
        """Close the HTTP client; the next call reads the certificates again."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _fetch_counts(self, connected: Host) -> dict[str, int]:
        loop = asyncio.get_running_loop()
        for host in sorted(self._address.hosts, key=lambda host: host != connected):
            if loop.time() < self._retry_at.get(host, 0.0):
                continue
            try:
                queues = await self._get(host, UNACKED_QUERY)
                counts = {queue["name"]: queue.get("messages_unacknowledged", 0) for queue in queues}
                if loop.time() >= self._policies_at:
                    self._policies_at = loop.time() + self._policies_every_s
                    self._report_policies(find_contradictions(await self._get(host, POLICIES_QUERY), self._prefix))
            except (httpx.HTTPError, TimeoutError, OSError, ValueError, TypeError, KeyError) as error:
                self._problem.report(error, url=self._address.management(host))
                self._retry_at[host] = loop.time() + RETRY_HOST_S
                await self.close()
            else:
                self._problem.clear()
                return counts
        return {}

    async def _get(self, host: Host, params: Mapping[str, str]) -> Any:  # noqa: ANN401  the API's own shapes
        """GET from one host. Raises httpx.HTTPError, TimeoutError; ValueError for another status than 200."""
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
        """Return a client that ignores proxies of the environment. Raises OSError, ValueError for a bad certificate."""
        verify = True if self._address.tls is None else self._address.tls.context()
        transport = httpx.AsyncHTTPTransport(verify=verify)
        auth = (self._address.username, self._address.password)
        return httpx.AsyncClient(transport=transport, auth=auth, timeout=MANAGEMENT_TIMEOUT_S)

    def _report_policies(self, contradictions: dict[str, list[str]]) -> None:
        """Log each new contradiction of a policy: name → keys."""
        for policy, keys in contradictions.items():
            if self._reported.get(policy) != keys:
                remedy = f"remove it from {self._prefix}.*, such as by the policy of deploy/rabbitmq/policies.json"
                log.error("policy_contradicts", policy=policy, keys=keys, remedy=remedy)
        self._reported = contradictions
