"""What runs and what is wrong, the worst first, each fault with its next step."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client import Gauge

from imsg_broker.port import Broker
from imsg_contract.errors import Refusal
from imsg_contract.findings import Finding, Replica, make_finding
from imsg_contract.provider_accounts import AccountState
from imsg_contract.topology import attention_key
from imsg_gateway.channels import Channels
from imsg_gateway.relay import Owner
from imsg_gateway.request import ClientRequest
from imsg_gateway.status_findings import LOGS, check_broker, check_channel, check_redis, check_replicas, sort_findings
from imsg_gateway.surroundings import Surroundings
from imsg_runtime.presence import list_replicas
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceUnavailable

WAITING = ("queued", "retrying")

LOOKED_BACK = timedelta(hours=50)
"""A message lives 24 h, and as much longer as blocks may extend it."""

COUNTED = 100
"""The most dead letters that are counted."""

POLL_S = 5.0
"""How often the metrics are brought up to date."""

SUCCESS = 200


class Status:
    """Gathers what the replicas say of themselves, the stores, the channels, and what their owners keep."""

    def __init__(
        self,
        redis: Redis,
        broker: Broker,
        channels: Channels,
        owners: Mapping[Owner, Peer],
        surroundings: Surroundings,
        *,
        zone: ZoneInfo,
    ) -> None:
        self._redis = redis
        self._broker = broker
        self._channels = channels
        self._owners = owners
        self._surroundings = surroundings
        self._zone = zone

    async def find(self, request: ClientRequest, caller: Caller) -> tuple[Sequence[Replica], Sequence[Finding]]:
        """Return the replicas, and all findings. Raises RedisUnavailable, RedisRefused."""
        (replicas, known), *findings = await asyncio.gather(
            self._find_known(),
            self._find_channels(request, caller),
            self._find_oldest(caller),
            self._count_dead_letters(caller),
            self._find_unreached(),
        )
        return replicas, sort_findings([*known, *chain.from_iterable(findings)])

    async def watch(self, wrong: Gauge, complete: Gauge) -> None:
        """Show, for ever, what is not well of that which is known without asking a service: alerts go by it.

        While Redis is away, what only Redis knows vanishes: it may have changed. `complete` says so, and alerts that
        go by it stay as they are.
        """
        while True:
            is_complete = True
            try:
                _, known = await self._find_known()
            except (RedisUnavailable, RedisRefused) as away:
                is_complete = False
                known = [check_redis(str(away)), *self._surroundings.find_local()]
            complete.set(is_complete)
            wrong.clear()
            for finding in known:
                if finding.level != "well":
                    wrong.labels(finding.part, finding.name, finding.level).set(1)
            await asyncio.sleep(POLL_S)

    async def _find_known(self) -> tuple[Sequence[Replica], Sequence[Finding]]:
        """Return the replicas, and what they, Redis and this machine say. Raises RedisUnavailable, RedisRefused."""
        replicas, attention, seen = await asyncio.gather(
            list_replicas(self._redis), self._find_attention(), self._surroundings.find()
        )
        findings = [
            *check_replicas(replicas, self._broker.topology.methods),
            check_redis(self._redis.refusal),
            *attention,
        ]
        # Where `imsg up` says how its machine is, the gateway's own look at it adds nothing.
        reported = {finding.part for finding in findings}
        return replicas, [*findings, *(finding for finding in seen if finding.part not in reported)]

    async def _find_channels(self, request: ClientRequest, caller: Caller) -> list[Finding]:
        """Return the findings on the broker and the channels, whose queues the broker has."""
        try:
            channels = await self._channels.describe(request, caller.username)
        except Refusal as error:
            why = error.answer(english=False)["detail"], error.answer(english=True)["detail"]
            remedy = (
                "查看 RabbitMQ 是否在运行：docs/runbooks/ImsgServiceNotReady.zh.md。",
                "See whether RabbitMQ runs: docs/runbooks/ImsgServiceNotReady.md.",
            )
            return [make_finding("broker", "fault", (f"没有应答：{why[0]}", f"gives no answer: {why[1]}"), remedy)]
        return [check_broker(self._broker.blocked), *(check_channel(channel, self._zone) for channel in channels)]

    async def _find_oldest(self, caller: Caller) -> list[Finding]:
        now = datetime.now(UTC)
        hours = {"since": (now - LOOKED_BACK).isoformat(), "until": (now + timedelta(hours=1)).isoformat()}
        answer = await self._ask("history", "/api/stats", caller, {"bucket": "hour", **hours})
        if isinstance(answer, Finding):
            return [answer]
        oldest: dict[str, str] = {}
        for bucket in answer["buckets"]:
            for method, counts in bucket["counts"].items():
                if any(counts.get(status) for status in WAITING):
                    at = datetime.fromisoformat(bucket["start"]).astimezone(self._zone)
                    oldest.setdefault(method, at.strftime("%m-%d %H:%M %z"))
        if not oldest:
            return [make_finding("oldest", "well", ("没有等待中的消息", "none waits"))]
        return [
            make_finding(
                "oldest",
                "well",
                (f"最早的等待自 {hour} 起的一小时", f"the oldest waits from the hour {hour}"),
                name=method,
            )
            for method, hour in oldest.items()
        ]

    async def _count_dead_letters(self, caller: Caller) -> list[Finding]:
        answer = await self._ask("history", "/api/dead", caller, {"limit": str(COUNTED)})
        if isinstance(answer, Finding):
            return []  # it was logged once
        if not answer["dead"]:
            return [make_finding("dead_letters", "well", ("没有死信", "none"))]
        count = f"{len(answer['dead'])}{'+' if answer['next'] else ''}"
        return [
            make_finding(
                "dead_letters",
                "fault",
                (f"{count} 条，不会自动重试", f"{count}: nothing tries them again by itself"),
                (
                    "`imsg dead-letters` 列出各自的原因；排除后由它重新发送。",
                    "`imsg dead-letters` says why each failed; once that is mended, it sends them again.",
                ),
            )
        ]

    async def _find_attention(self) -> list[Finding]:
        """Return what is wrong with an account at a provider: its log-in, templates, balance."""
        methods = self._broker.topology.methods
        published = await asyncio.gather(*(self._redis.call("HGETALL", attention_key(method)) for method in methods))
        return [
            make_finding(
                "provider",
                "fault",
                (attention.trouble.zh, attention.trouble.en),
                (attention.trouble.remedy_zh or LOGS[0], attention.trouble.remedy_en or LOGS[1]),
                name=f"{method} {name.decode()}",
            )
            for method, states in zip(methods, published, strict=True)
            for name, text in states.items()
            for attention in AccountState.model_validate_json(text).found
        ]

    async def _find_unreached(self) -> list[Finding]:
        """Return the services that this one can't ask, though their replicas may say that they are ready."""
        findings = await asyncio.gather(*(self._greet(owner) for owner in self._owners))
        return [finding for finding in findings if finding is not None]

    async def _greet(self, owner: Owner) -> Finding | None:
        name = f"sender-{owner}" if owner in self._broker.topology.methods else owner
        try:
            answer = await self._owners[owner].call("GET", "/health/live")
            service = str(answer.json().get("service", owner)) if answer.status_code == SUCCESS else None
        except (ServiceUnavailable, ValueError) as error:
            state = (f"网关联系不上它：{error}", f"the gateway can't reach it: {error}")
        else:
            if service == owner:
                return None
            state = (f"在它的地址上应答的是 {service}", f"{service} answers at its URL")
            if service is None:
                state = (f"应答了 HTTP {answer.status_code}", f"answers HTTP {answer.status_code}")
        remedy = (
            f"{LOGS[0]}它若在运行，再查网络和 gateway 的 `IMSG_{owner.upper()}_URL`。",
            f"{LOGS[1]} If it runs, look at the network, and at the gateway's IMSG_{owner.upper()}_URL.",
        )
        return make_finding("service", "fault", state, remedy, name=name)

    async def _ask(
        self, owner: Owner, path: str, caller: Caller, params: Mapping[str, str]
    ) -> Mapping[str, Any] | Finding:
        """Return the owner's answer, or the finding that there is none."""
        try:
            answer = await self._owners[owner].call("GET", path, caller=caller, params=params)
        except ServiceUnavailable as error:
            why = str(error)
        else:
            if answer.status_code == SUCCESS:
                body: Mapping[str, Any] = answer.json()
                return body
            why = str(answer.json().get("detail") or answer.status_code)
        return make_finding("service", "fault", (f"没有应答：{why}", f"gives no answer: {why}"), LOGS, name=owner)
