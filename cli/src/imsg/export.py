"""`imsg export`: what one box keeps, with its queues drained, for an installation of several services."""

import asyncio
import functools
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import SecretStr

from imsg import all_in_one, backup, data_folder
from imsg.all_in_one import RuntimeConfig, Settings
from imsg.api import language
from imsg.table_owners import TABLE_OWNERS
from imsg.valkey import Valkey
from imsg_broker.connect import open_broker
from imsg_broker.port import Broker, Unreachable
from imsg_contract.provider_accounts import AccountState
from imsg_contract.topology import Topology, attention_key, channel_key
from imsg_contract.version import VERSION
from imsg_runtime.lines import Line, fill
from imsg_runtime.logs import configure
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, connect
from imsg_runtime.settings import StartError, load, variable

MANIFEST = "export.json"

POLL_S = 1.0

TELL_S = 5.0
"""How often a line says what still waits."""

EMPTY_LOOKS = 3
"""How often in a row the queues must be empty: a service publishes from its own tables some moments later."""

PATIENCE_S = 60.0
"""How long the services may take until they answer how much waits."""


def export(target: Path, wait_s: float, report: Callable[[Line], None]) -> RuntimeConfig:
    """Run the services without their port until no queue holds anything, then copy what they keep to a new folder.

    `report` gets a line every few seconds while something waits. Raises StartError if something still waits after
    `wait_s`, or if iMSG runs; nothing is at `target` then.
    """
    settings = load(Settings)
    configure(settings.log_level, settings.log_format)
    if settings.database_url:
        raise StartError("{0} is set: only the files of the data folder are exported.", variable("database_url"))
    if not (settings.data_dir / all_in_one.SECRETS).is_dir():
        raise StartError("{0} is no data folder of iMSG; {1} names another.", settings.data_dir, variable("data_dir"))
    if target.exists():
        raise StartError("{0} exists already; name a new folder.", target)
    os.umask(0o077)  # it holds every secret
    return asyncio.run(_export(settings, target, wait_s, report))


async def _export(settings: Settings, target: Path, wait_s: float, report: Callable[[Line], None]) -> RuntimeConfig:
    draft = target.with_name(f"{target.name}.{os.getpid()}{backup.PART}")
    async with data_folder.hold(settings.data_dir) as lock:
        config = await _drain(settings, lock, wait_s, report)
        try:
            (draft / all_in_one.SECRETS).mkdir(parents=True)
            await backup.copy_databases(settings.data_dir, draft)
            _write_secrets(config, draft / all_in_one.SECRETS)
            (draft / MANIFEST).write_text(json.dumps({"version": VERSION, "migrations": list_migrations()}))
            draft.rename(target)
        except (OSError, sqlite3.Error) as error:
            raise StartError("the export was not made: {0}.", error) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)
    return config


def list_migrations() -> Mapping[str, str]:
    """Return the number of the newest migration of each service."""
    return {owner.name: owner.migrations.head for owner in TABLE_OWNERS}


async def _drain(settings: Settings, lock: int, wait_s: float, report: Callable[[Line], None]) -> RuntimeConfig:
    """Run the services until nothing waits in a queue. Raises StartError."""
    async with AsyncExitStack() as stack:
        server = None if settings.redis_url else Valkey(settings.data_dir, lock)
        if server is not None:
            await stack.enter_async_context(server.running())
        config = all_in_one.prepare(settings, settings.data_dir, server.url if server else settings.redis_url)
        everything = all_in_one.make(config, with_console=False)
        await stack.enter_async_context(everything.running())
        broker = await stack.enter_async_context(open_broker(settings.broker_url or config.redis_url))
        redis = await stack.enter_async_context(connect(config.redis_url))
        began = reported_at = time.monotonic()
        empty = 0
        while empty < EMPTY_LOOKS:
            waiting = await _count_waiting(broker)
            empty = 0 if waiting else empty + 1
            now = time.monotonic()
            if waiting and now > began + wait_s:
                raise StartError(
                    "messages still wait: {0}. Allow them more time with --wait, or start `imsg up` and mend what "
                    "they wait for, or cancel them; nothing was exported.",
                    await _describe(waiting, broker.topology, redis),
                )
            if waiting and now > reported_at + TELL_S:
                reported_at = now
                left_s = round(began + wait_s - now)
                report(
                    fill("waiting {0} s more at most: {1}", left_s, await _describe(waiting, broker.topology, redis))
                )
            await asyncio.sleep(POLL_S)
    return config


async def _describe(waiting: Mapping[str, int], topology: Topology, redis: Redis) -> Line:
    """Return how many messages wait in each queue, and what keeps their channel from sending."""
    parts: list[Line] = []
    for queue, count in waiting.items():
        method = next((method for method in topology.methods if queue.startswith(f"{topology.prefix}.{method}.")), None)
        why = None if method is None else await _find_obstacle(redis, method)
        parts.append(fill("{0} in {1}", count, queue) if why is None else fill("{0} in {1} ({2})", count, queue, why))
    return functools.reduce(lambda text, part: fill("{0}, {1}", text, part), parts)


async def _find_obstacle(redis: Redis, method: str) -> Line | None:
    """Return why a channel sends nothing; None where it sends, or where Redis does not say."""
    try:
        paused, reason, state, why = await redis.call("HMGET", channel_key(method), "paused", "reason", "state", "why")
        accounts = await redis.call("HGETALL", attention_key(method))
    except (RedisUnavailable, RedisRefused):
        return None
    if paused == b"1":
        return fill("paused by an administrator: {0}", (reason or b"-").decode())
    if state == b"blocked":
        return fill("blocked: {0}", (why or b"-").decode())
    # After a start a channel counts as blocked only once several calls have failed.
    for name, text in accounts.items():
        for attention in AccountState.model_validate_json(text).found:
            trouble = attention.trouble.zh if language() == "zh" else attention.trouble.en
            return fill("{0}: {1}", name.decode(), trouble.rstrip(".。"))
    return None


async def _count_waiting(broker: Broker) -> Mapping[str, int]:
    """Return how many messages wait in each queue that holds any. Raises StartError."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return {queue: depth for queue in _list_queues(broker.topology) if (depth := await _measure(broker, queue))}
        except Unreachable as error:
            if time.monotonic() > deadline:
                raise StartError("the broker does not say what waits: {0}.", error) from error
            await asyncio.sleep(POLL_S)


def _list_queues(topology: Topology) -> list[str]:
    return [*dict(topology.sinks()), topology.catalog, *dict(topology.work_queues())]


async def _measure(broker: Broker, queue: str) -> int:
    """Return how much waits in a queue and for its next attempt there. Raises Unreachable."""
    depth = await broker.depth(queue)
    if queue in dict(broker.topology.work_queues()):
        # A broker may count the messages of all delays together.
        depth += max([await broker.depth(broker.topology.retry(queue, step_s)) for step_s in broker.topology.waits_s])
    return depth


def _write_secrets(config: RuntimeConfig, folder: Path) -> None:
    """Write the keys without which the copied tables can't be read, under the names of the containers' secrets."""
    keys = {"token_key": config.token_key, "erasure_key": config.erasure_key, "secret_key": config.secret_key}
    for name, values in keys.items():
        (folder / name).write_text(",".join(map(SecretStr.get_secret_value, values)))
    if config.admin_password is not None:
        (folder / "admin_password").write_text(config.admin_password.get_secret_value())
