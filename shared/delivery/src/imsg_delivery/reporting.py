"""Reporting the state of a channel's providers in Redis, and reading from there what administrators switched."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from imsg_contract.topology import SWITCHES_COMPLETE, providers_key, retry_after_key, switches_key
from imsg_delivery.provider_pool import PooledProvider, ProviderPool
from imsg_delivery.routes import Switch
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

EVERY_S = 1.0
STALE_S = 60
"""A process that reported nothing for so long is removed by the others."""


class Reporter:
    """Reports the providers of one process, and applies their switches.

    After Redis was flushed the last switches stay in force until auth has written them again.
    """

    def __init__(self, redis: Redis, provider_pool: ProviderPool, instance: str) -> None:
        self._redis = redis
        self._provider_pool = provider_pool
        self._instance = instance

    async def watch(self) -> None:
        """Report and read every second, for ever."""
        problem = RecurringProblem(log, "providers_not_reported", level="info", method=self._provider_pool.method)
        while True:
            with problem.catch(RedisUnavailable, RedisRefused):
                await self._update()
            await asyncio.sleep(EVERY_S)

    async def _update(self) -> None:
        method = self._provider_pool.method
        (now_s, _), reports, switches, _ = await asyncio.gather(
            self._redis.call("TIME"),
            self._redis.call("HKEYS", providers_key(method)),
            self._redis.call("HGETALL", switches_key(method)),
            self._provider_pool.retry_after.sync(self._redis, retry_after_key(method)),
        )
        switched = read_switches(_as_mapping(switches))
        if switched is not None:
            self._provider_pool.apply(switched)
        now = int(now_s)
        body = json.dumps(report(self._provider_pool, now), ensure_ascii=False)
        own = f"{now} {self._instance}"
        await self._redis.call("HSET", providers_key(method), own, body)
        if old := [name for name in reports if name.decode() != own and _is_old(name, now, self._instance)]:
            await self._redis.call("HDEL", providers_key(method), *old)


def report(provider_pool: ProviderPool, now: float) -> dict[str, Any]:
    """Describe every provider, as the gateways read it."""
    return {"providers": [_describe(provider_pool, provider, now) for provider in provider_pool.all]}


def read_switches(written: Mapping[bytes, bytes]) -> dict[str, Switch] | None:
    """Read what auth wrote: provider → `{enabled, weight}` as JSON; None where not all of it is there."""
    if SWITCHES_COMPLETE.encode() not in written:
        return None
    switches = {}
    for name, body in written.items():
        try:
            fields = json.loads(body)
        except ValueError:
            continue
        if isinstance(fields, dict):
            enabled, weight = fields.get("enabled"), fields.get("weight")
            switches[name.decode()] = Switch(
                enabled if isinstance(enabled, bool) else None, weight if isinstance(weight, int) else None
            )
    return switches


def _describe(provider_pool: ProviderPool, provider: PooledProvider, now: float) -> dict[str, Any]:
    stats, offset = provider.stats, now - provider_pool.clock()
    blocks, last = stats.blocks, stats.last_error
    sent, failed = stats.counts()
    p95_s = stats.p95_s()
    weight = provider.route.weight if provider.switch.weight is None else provider.switch.weight
    return {
        "name": provider.name,
        "enabled": provider.is_on,
        "weight": None if provider_pool.by_address else weight,
        "share": provider_pool.share(provider.name),
        "blocks": [
            {
                "concerns": block.concerns,
                "what": block.scope,
                "code": block.code,
                "detail": block.detail,
                "since": _moment(block.since + offset),
                "until": _moment(block.until + offset),
            }
            for block in blocks
        ],
        "last_error": None
        if last is None
        else {"concerns": last.concerns, "code": last.code, "detail": last.detail, "at": _moment(last.at + offset)},
        "sent": sent,
        "failed": failed,
        "p95_ms": None if p95_s is None else round(p95_s * 1_000),
    }


def _is_old(name: bytes, now: int, own: str) -> bool:
    """Return whether a report is an earlier one of this process, or of a process that reports no more."""
    at, _, instance = name.decode(errors="replace").partition(" ")
    return instance == own or not at.isdigit() or int(at) < now - STALE_S


def _as_mapping(reply: Any) -> Mapping[bytes, bytes]:  # noqa: ANN401  Redis' own reply
    """Read HGETALL's reply, which is a list where the client speaks RESP2."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
