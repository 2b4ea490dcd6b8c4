"""What runs and what is wrong, the worst first, each fault with its next step."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from prometheus_client import Gauge

from imsg_broker.port import Broker
from imsg_channels import BY_NAME
from imsg_contract.errors import Refusal
from imsg_contract.findings import LEVELS, Finding, Level, Replica, Sentence, make_finding
from imsg_contract.provider_accounts import AccountState
from imsg_contract.topology import attention_key
from imsg_gateway.channels import REDIS_BLOCKED, Channels
from imsg_gateway.relay import Owner
from imsg_gateway.request import ClientRequest
from imsg_gateway.surroundings import Surroundings
from imsg_runtime.presence import list_replicas
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceUnavailable

APPS = ("gateway", "auth", "history", "catalog", "scheduler", "callbacks")

WAITING = ("queued", "retrying")

LOOKED_BACK = timedelta(hours=50)
"""A message lives 24 h, and as much longer as blocks may extend it."""

COUNTED = 100
"""The most dead letters that are counted."""

LATE_S = 120
"""As the alert ImsgScheduleLate has it."""

MANY_WAITING = 1_000
"""Waiting messages of a channel from which on they are a backlog."""

NO_PROVIDER = "no provider is configured"
"""How the reason of a channel without settings begins (`imsg_delivery.standby`)."""

DATABASE = "database"
"""The condition of readiness of services that have one, and the part of their findings."""

LOOK_EVERY_S = 5.0
"""How often the metrics are brought up to date."""

SUCCESS = 200

_LOGS = (
    "查看它是否在运行及其日志：`make ps`、`make logs`；Kubernetes 用 `kubectl get pods`。",
    "See whether it runs, and its log: make ps, make logs; on Kubernetes kubectl get pods.",
)


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
        (replicas, known), *asked = await asyncio.gather(
            self._find_known(),
            self._find_channels(request, caller),
            self._find_oldest(caller),
            self._count_dead_letters(caller),
            self._find_unreached(),
        )
        return replicas, sort_findings([*known, *chain.from_iterable(asked)])

    async def watch(self, wrong: Gauge) -> None:
        """Show, for ever, what is not well of that which is known without asking a service: alerts go by it."""
        while True:
            with suppress(RedisUnavailable, RedisRefused):
                _, known = await self._find_known()
                wrong.clear()
                for finding in known:
                    if finding.level != "well":
                        wrong.labels(finding.part, finding.name, finding.level).set(1)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _find_known(self) -> tuple[Sequence[Replica], Sequence[Finding]]:
        """Return the replicas, and what they, Redis and this machine say. Raises RedisUnavailable, RedisRefused."""
        replicas, attention, seen = await asyncio.gather(
            list_replicas(self._redis), self._find_attention(), self._surroundings.find()
        )
        found = [
            *judge_replicas(replicas, self._broker.topology.methods),
            judge_redis(self._redis.refusal),
            *attention,
        ]
        # Where `imsg up` says how its machine is, the gateway's own look at it adds nothing.
        reported = {finding.part for finding in found}
        return replicas, [*found, *(finding for finding in seen if finding.part not in reported)]

    async def _find_channels(self, request: ClientRequest, caller: Caller) -> list[Finding]:
        """Judge the broker and the channels, whose queues the broker has."""
        try:
            channels = await self._channels.describe(request, caller.username)
        except Refusal as away:
            why = away.answer(english=False)["detail"], away.answer(english=True)["detail"]
            remedy = (
                "查看 RabbitMQ 是否在运行：docs/runbooks/ImsgServiceNotReady.zh.md。",
                "See whether RabbitMQ runs: docs/runbooks/ImsgServiceNotReady.md.",
            )
            return [make_finding("broker", "fault", (f"没有应答：{why[0]}", f"gives no answer: {why[1]}"), remedy)]
        return [judge_broker(self._broker.blocked), *(judge_channel(channel, self._zone) for channel in channels)]

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
                    oldest.setdefault(method, at.strftime("%m-%d %H:%M"))
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
            return []  # it was said once
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
                (found.trouble.zh, found.trouble.en),
                (found.trouble.remedy_zh or _LOGS[0], found.trouble.remedy_en or _LOGS[1]),
                name=f"{method} {name.decode()}",
            )
            for method, states in zip(methods, published, strict=True)
            for name, text in states.items()
            for found in AccountState.model_validate_json(text).found
        ]

    async def _find_unreached(self) -> list[Finding]:
        """Return the services that this one can't ask, though their replicas may say that they are ready."""
        found = await asyncio.gather(*(self._greet(owner) for owner in self._owners))
        return [finding for finding in found if finding is not None]

    async def _greet(self, owner: Owner) -> Finding | None:
        name = f"sender-{owner}" if owner in self._broker.topology.methods else owner
        try:
            answer = await self._owners[owner].call("GET", "/health/live")
            service = str(answer.json().get("service", owner)) if answer.status_code == SUCCESS else None
        except (ServiceUnavailable, ValueError) as away:
            state = (f"网关联系不上它：{away}", f"the gateway can't reach it: {away}")
        else:
            if service == owner:
                return None
            state = (f"在它的地址上应答的是 {service}", f"{service} answers at its URL")
            if service is None:
                state = (f"应答了 HTTP {answer.status_code}", f"answers HTTP {answer.status_code}")
        remedy = (
            f"{_LOGS[0]}它若在运行，再查网络和 gateway 的 `IMSG_{owner.upper()}_URL`。",
            f"{_LOGS[1]} If it runs, look at the network, and at the gateway's IMSG_{owner.upper()}_URL.",
        )
        return make_finding("service", "fault", state, remedy, name=name)

    async def _ask(
        self, owner: Owner, path: str, caller: Caller, params: Mapping[str, str]
    ) -> Mapping[str, Any] | Finding:
        """Return the owner's answer, or the finding that there is none."""
        try:
            answer = await self._owners[owner].call("GET", path, caller=caller, params=params)
        except ServiceUnavailable as away:
            why = str(away)
        else:
            if answer.status_code == SUCCESS:
                body: Mapping[str, Any] = answer.json()
                return body
            why = str(answer.json().get("detail") or answer.status_code)
        return make_finding("service", "fault", (f"没有应答：{why}", f"gives no answer: {why}"), _LOGS, name=owner)


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Put the worst first, and keep one finding of each service: its worst."""
    kept: dict[object, Finding] = {}
    for finding in sorted(findings, key=lambda finding: LEVELS.index(finding.level)):
        kept.setdefault(("service", finding.name) if finding.part == "service" else finding, finding)
    return list(kept.values())


def judge_replicas(replicas: Sequence[Replica], methods: Sequence[str]) -> Iterator[Finding]:
    """Judge each service by its replicas, and pass on what these found."""
    running = {service: list(group) for service, group in groupby(replicas, key=lambda one: one.service)}
    for service in (*APPS, *methods):
        name = f"sender-{service}" if service in methods else service
        yield _judge_service(name, running.get(service, ()))
    versions = sorted({replica.version for replica in replicas})
    if len(versions) > 1:
        both = "、".join(versions), " and ".join(versions)
        state = (f"同时运行 {both[0]}", f"{both[1]} run at once")
        remedy = ("升级完成后应只剩一个版本；否则继续升级。", "An upgrade ends with one version: finish it.")
        yield make_finding("version", "notice", state, remedy)
    yield from judge_databases(replicas)
    # Parts that live in one process, and replicas of one machine, find the same.
    yield from dict.fromkeys(finding for replica in replicas for finding in replica.findings)


def _judge_service(name: str, replicas: Sequence[Replica]) -> Finding:
    if not replicas:
        return make_finding("service", "fault", ("没有运行中的副本", "no replica runs"), _LOGS, name=name)
    lacking = [replica for replica in replicas if replica.unmet]
    if lacking:
        what = "; ".join(f"{replica.replica}: {', '.join(replica.unmet)}" for replica in lacking)
        remedy = (
            "它所依赖的部分不可用：见本页其他行和 docs/runbooks/ImsgServiceNotReady.zh.md。",
            "Something it needs is away: see the other rows, and docs/runbooks/ImsgServiceNotReady.md.",
        )
        level: Level = "fault" if len(lacking) == len(replicas) else "notice"
        return make_finding(
            "service", level, (f"未就绪，缺少 {what}", f"not ready, it lacks {what}"), remedy, name=name
        )
    names, version = ", ".join(replica.replica for replica in replicas), replicas[0].version
    number = f"{len(replicas)} replica{'s' if len(replicas) > 1 else ''}"
    return make_finding(
        "service",
        "well",
        (f"{len(replicas)} 个副本就绪，版本 {version}：{names}", f"{number} ready, version {version}: {names}"),
        name=name,
    )


def judge_databases(replicas: Iterable[Replica]) -> Iterator[Finding]:
    """Judge the database of each service that has one, by what its replicas say of it."""
    for service, group in groupby(replicas, key=lambda one: one.service):
        having = [replica for replica in group if DATABASE in replica.conditions]
        failing = [replica.replica for replica in having if DATABASE in replica.unmet]
        if failing:
            names = ", ".join(failing)
            remedy = (
                f"查看数据库是否在运行、磁盘是否已满，以及 {service} 的日志。",
                f"See whether it runs and has room on its disk, and the log of {service}.",
            )
            state = f"没有应答或拒绝写入：{names}", f"does not answer, or refuses writes: {names}"
            level: Level = "fault" if len(failing) == len(having) else "notice"
            yield make_finding(DATABASE, level, state, remedy, name=service)
        elif having:
            yield make_finding(DATABASE, "well", ("有应答，接收写入", "answers and takes writes"), name=service)


def judge_broker(blocked: str | None) -> Finding:
    """Judge the broker's alarm."""
    if not blocked:
        return make_finding("broker", "well", ("没有告警", "no alarm"))
    state = (f"告警，不接收任何消息：{blocked}", f"an alarm, it takes nothing: {blocked}")
    remedy = (
        "释放它的磁盘或内存：见 docs/runbooks/ImsgBrokerBlocked.zh.md。",
        "Free its disk or memory: docs/runbooks/ImsgBrokerBlocked.md.",
    )
    return make_finding("broker", "fault", state, remedy)


def judge_redis(refusal: str) -> Finding:
    """Judge whether Redis takes writes."""
    if not refusal:
        return make_finding("redis", "well", ("接收写入", "takes writes"))
    state = (f"拒绝写入：{refusal}", f"takes no writes: {refusal}")
    remedy = (
        f"释放它的磁盘或内存，或让主节点恢复；日志中为 `{REDIS_BLOCKED}`。",
        f"Free its disk or memory, or bring back the master; logs have it as `{REDIS_BLOCKED}`.",
    )
    return make_finding("redis", "fault", state, remedy)


class _Rule(NamedTuple):
    """What a state of a channel means, and the next step."""

    holds: bool
    state: tuple[str, str]
    remedy: tuple[str, str]
    level: Level = "fault"


def judge_channel(channel: Mapping[str, Any], zone: ZoneInfo) -> Finding:
    """Judge a channel's state, consumers, schedule and providers, as administrators see it."""
    method, why, late_s = str(channel["method"]), str(channel["why"] or ""), channel["late_s"] or 0
    blocked = [provider for provider in channel["providers"] if provider["state"] == "blocked"]
    why_each = "; ".join(f"{provider['name']}: {provider['why']}" for provider in blocked)
    waiting = channel["waiting"]
    zh, en = (f"；{waiting:,} 条等待", f"; {waiting:,} wait") if waiting else ("", "")
    end = channel["until"] and f"{datetime.fromisoformat(channel['until']).astimezone(zone):%m-%d %H:%M}"
    until_zh, until = (f"，预计到 {end}", f" until {end}") if end else ("", "")
    rules = [
        _Rule(
            why.startswith(NO_PROVIDER),
            ("尚未配置服务商，此渠道闲置", why),
            ("在页面「服务商」中添加，或按 docs/providers.md 配置。", "Add one on the page Providers."),
            "well",
        ),
        _Rule(
            channel["state"] == "paused",
            (f"已暂停：{why or '未说明原因'}{zh}", f"paused: {why or 'no reason given'}{en}"),
            (
                f"在页面「渠道」或用 `imsg channels resume {method}` 恢复。",
                f"Resume it on the page Channels, or by `imsg channels resume {method}`.",
            ),
        ),
        _Rule(
            channel["state"] == "blocked",
            (f"受阻{until_zh}：{why}{zh}", f"blocked{until}: {why}{en}"),
            (
                "排除后自动恢复；见 docs/runbooks/ImsgChannelBlocked.zh.md。",
                "Mend that; it goes on by itself: docs/runbooks/ImsgChannelBlocked.md.",
            ),
        ),
        _Rule(
            channel["consumers"] == 0,
            (f"没有发送服务在消费{zh}", f"no sender consumes it{en}"),
            _LOGS,
        ),
        _Rule(
            late_s > LATE_S,
            (f"定时消息已晚 {late_s // 60} 分钟", f"scheduled messages are {late_s // 60} minutes late"),
            (
                "查看 scheduler：docs/runbooks/ImsgScheduleLate.zh.md。",
                "Look at the scheduler: docs/runbooks/ImsgScheduleLate.md.",
            ),
        ),
        _Rule(
            bool(blocked),
            (f"部分服务商受阻：{why_each}", f"blocked: {why_each}"),
            (
                "`imsg providers list` 显示原因及恢复时间。",
                "`imsg providers list` shows since when, and the share of each.",
            ),
            "notice",
        ),
        _Rule(
            (waiting or 0) >= MANY_WAITING,
            (f"积压：{waiting or 0:,} 条等待", f"a backlog: {waiting or 0:,} wait"),
            (
                "查看它是否在减少：docs/runbooks/ImsgQueueGrows.zh.md。",
                "See whether it shrinks: docs/runbooks/ImsgQueueGrows.md.",
            ),
            "notice",
        ),
    ]
    rule = next((rule for rule in rules if rule.holds), None)
    if rule is None:
        return make_finding("channel", "well", _describe(channel), name=method)
    if rule.level == "well":
        return make_finding("channel", "well", rule.state, name=method)
    return make_finding("channel", rule.level, rule.state, rule.remedy, name=method)


def _describe(channel: Mapping[str, Any]) -> tuple[str, str]:
    names = ", ".join(str(provider["name"]) for provider in channel["providers"])
    lanes = ", ".join(f"{lane} {count}" for lane, count in (channel["lanes"] or {}).items() if count)
    waiting, consumers = f"{channel['waiting']}{f' ({lanes})' if lanes else ''}", channel["consumers"]
    zh = f"正常{f'，经 {names}' if names else ''}；{consumers} 个消费者，{waiting} 条等待"
    return zh, f"open{f', by {names}' if names else ''}; consumers {consumers}; {waiting} wait"


def name_part(finding: Finding) -> Sentence:
    """Return the title of what a finding is about."""
    method, _, account = finding.name.partition(" ")
    channel = BY_NAME.get(method)
    zh, en = (channel.titles.zh, channel.titles.en) if channel is not None else (finding.name, finding.name)
    if finding.part in {"service", "channel"}:
        return Sentence(zh=zh, en=en)
    title = PARTS.get(finding.part, Sentence(zh=finding.part, en=finding.part.replace("_", " ")))
    if channel is not None and account:
        return Sentence(zh=f"{title.zh} {account}（{zh}）", en=f"{title.en} {account} ({en})")
    return Sentence(zh=f"{title.zh} {zh}".strip(), en=f"{title.en} {en}".strip())


PARTS: Mapping[str, Sentence] = {
    "broker": Sentence(zh="消息队列", en="broker"),
    "redis": Sentence(zh="Redis", en="Redis"),
    DATABASE: Sentence(zh="数据库", en="database"),
    "version": Sentence(zh="版本", en="version"),
    "oldest": Sentence(zh="最早的等待", en="oldest message"),
    "dead_letters": Sentence(zh="死信", en="dead letters"),
    "provider": Sentence(zh="服务商", en="provider"),
    "bounce_mailbox": Sentence(zh="退信邮箱", en="bounce mailbox"),
    "disk": Sentence(zh="磁盘", en="disk"),
    "backup": Sentence(zh="备份", en="backup"),
    "certificate": Sentence(zh="证书", en="certificate"),
}
"""The titles of parts; services and channels have their own."""
