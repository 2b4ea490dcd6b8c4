"""The findings on the state of a deployment: each fault with its next step."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from imsg_channels import BY_NAME
from imsg_contract.findings import LEVELS, Finding, Level, Replica, Sentence, make_finding
from imsg_gateway.channels import REDIS_BLOCKED

APPS = ("gateway", "auth", "history", "catalog", "scheduler", "callbacks")

LATE_S = 120
"""The bound of the alert ImsgScheduleLate."""

MANY_WAITING = 1_000
"""Waiting messages of a channel from which on they are a backlog."""

NO_PROVIDER = "no provider is configured"
"""How the reason of a channel without settings begins (`imsg_delivery.standby`)."""

DATABASE = "database"
"""The condition of readiness of services that have one, and the part of their findings."""

LOGS = (
    "查看它是否在运行及其日志：`make ps`、`make logs`；Kubernetes 用 `kubectl get pods`。",
    "See whether it runs, and its log: make ps, make logs; on Kubernetes kubectl get pods.",
)


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings, worst first, with only the worst of each service."""
    worst: dict[object, Finding] = {}
    for finding in sorted(findings, key=lambda finding: LEVELS.index(finding.level)):
        worst.setdefault(("service", finding.name) if finding.part == "service" else finding, finding)
    return list(worst.values())


def check_replicas(replicas: Sequence[Replica], methods: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding on each service, their versions and databases, and what their replicas found."""
    running = {service: list(group) for service, group in groupby(replicas, key=lambda replica: replica.service)}
    for service in (*APPS, *methods):
        name = f"sender-{service}" if service in methods else service
        yield _check_service(name, running.get(service, ()))
    versions = sorted({replica.version for replica in replicas})
    if len(versions) > 1:
        both = "、".join(versions), " and ".join(versions)
        state = (f"同时运行 {both[0]}", f"{both[1]} run at once")
        remedy = ("升级完成后应只剩一个版本；否则继续升级。", "An upgrade ends with one version: finish it.")
        yield make_finding("version", "notice", state, remedy)
    yield from check_databases(replicas)
    # Parts that live in one process, and replicas of one machine, find the same.
    yield from dict.fromkeys(finding for replica in replicas for finding in replica.findings)


def _check_service(name: str, replicas: Sequence[Replica]) -> Finding:
    if not replicas:
        return make_finding("service", "fault", ("没有运行中的副本", "no replica runs"), LOGS, name=name)
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


def check_databases(replicas: Iterable[Replica]) -> Iterator[Finding]:
    """Yield a finding on the database of each service that has one, from its replicas' conditions."""
    for service, group in groupby(replicas, key=lambda replica: replica.service):
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


def check_broker(blocked: str | None) -> Finding:
    """Return the finding on the broker's alarm."""
    if not blocked:
        return make_finding("broker", "well", ("没有告警", "no alarm"))
    state = (f"告警，不接收任何消息：{blocked}", f"an alarm, it takes nothing: {blocked}")
    remedy = (
        "释放它的磁盘或内存：见 docs/runbooks/ImsgBrokerBlocked.zh.md。",
        "Free its disk or memory: docs/runbooks/ImsgBrokerBlocked.md.",
    )
    return make_finding("broker", "fault", state, remedy)


def check_redis(refusal: str) -> Finding:
    """Return the finding on whether Redis accepts writes."""
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


def check_channel(channel: Mapping[str, Any], zone: ZoneInfo) -> Finding:
    """Return the finding on a channel's state, consumers, schedule and providers, as administrators see it."""
    method, why, late_s = str(channel["method"]), str(channel["why"] or ""), channel["late_s"] or 0
    blocked = [provider for provider in channel["providers"] if provider["state"] == "blocked"]
    why_each = "; ".join(f"{provider['name']}: {provider['why']}" for provider in blocked)
    waiting = channel["waiting"]
    zh, en = (f"；{waiting:,} 条等待", f"; {waiting:,} wait") if waiting else ("", "")
    end = channel["until"] and f"{datetime.fromisoformat(channel['until']).astimezone(zone):%m-%d %H:%M %z}"
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
            LOGS,
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
