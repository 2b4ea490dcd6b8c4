"""Telling in Redis that a replica runs: its version, what it lacks, and what it found."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from pydantic import ValidationError

from imsg_contract.findings import Replica
from imsg_contract.topology import REPLICAS
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

POLL_S = 1.0
"""How often a replica looks whether it has something else to say."""

EVERY_S = 5.0
"""How often it says the same again."""

GONE_S = 20
"""A replica without a report for so long is gone: three of its reports are missing."""

AWAY = (RedisUnavailable, RedisRefused)


async def announce(redis: Redis, describe: Callable[[], Replica]) -> None:
    """Report a replica for ever, and remove those that are gone; at its end remove its own report."""
    problem = RecurringProblem(log, "replica_not_reported", level="info")
    last, written = describe(), -EVERY_S
    field = f"{last.service} {last.replica}"
    try:
        while True:
            if (report := describe()) != last or time.monotonic() - written >= EVERY_S:
                with problem.catch(*AWAY):
                    await _write(redis, field, report)
                    last, written = report, time.monotonic()
            await asyncio.sleep(POLL_S)
    finally:
        with suppress(*AWAY):
            await redis.call("HDEL", REPLICAS, field)


async def list_replicas(redis: Redis) -> Sequence[Replica]:
    """Return the replicas that run, by service. Raises RedisUnavailable, RedisRefused."""
    now_s, reports = await _read(redis)
    running = [report for report in reports.values() if report is not None and report.at_s >= now_s - GONE_S]
    return sorted(running, key=lambda replica: (replica.service, replica.replica))


async def _write(redis: Redis, field: str, report: Replica) -> None:
    """Write a report, and remove those of replicas that are gone. Raises RedisUnavailable, RedisRefused."""
    now_s, reports = await _read(redis)
    await redis.call("HSET", REPLICAS, field, report.model_copy(update={"at_s": now_s}).model_dump_json())
    if gone := [name for name, report in reports.items() if report is None or report.at_s < now_s - GONE_S]:
        await redis.call("HDEL", REPLICAS, *gone)


async def _read(redis: Redis) -> tuple[int, Mapping[bytes, Replica | None]]:
    """Return the time at Redis, and each report; None for one that can't be read, such as of another version."""
    (now_s, _), reports = await asyncio.gather(redis.call("TIME"), redis.call("HGETALL", REPLICAS))
    return int(now_s), {name: _parse(body) for name, body in reports.items()}


def _parse(body: bytes) -> Replica | None:
    try:
        return Replica.model_validate_json(body)
    except ValidationError:
        return None
