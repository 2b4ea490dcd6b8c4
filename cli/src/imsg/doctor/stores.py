"""The stores part of `imsg doctor`: Redis, the broker and the database answer, and lose nothing on a restart."""

import asyncio
import contextlib
import socket
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imsg import all_in_one, valkey
from imsg.doctor.checks import Check
from imsg.findings import TIMEOUT_S, Finding
from imsg.phrases import translate
from imsg_broker.connect import open_broker
from imsg_database.address import hosts
from imsg_runtime import redis
from imsg_runtime.lines import fill
from imsg_runtime.masking import mask
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.settings import variable

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""PostgreSQL's SSLRequest, answered with S or N (its documentation, message formats)."""


def list_checks(settings: all_in_one.Settings) -> list[tuple[str, Check]]:
    """Return the checks of all stores."""
    return [
        ("Redis", lambda: check_redis(settings)),
        ("broker", lambda: check_broker(settings)),
        ("database", lambda: asyncio.to_thread(check_database, settings)),
    ]


async def check_redis(settings: all_in_one.Settings) -> Finding:
    """Check that Redis writes everything to disk and evicts nothing."""
    if settings.redis_url:
        return await _check_redis_at(settings.redis_url, "")
    embedded = valkey.find_running(settings.data_dir)
    if embedded is None:
        return Finding("Redis", "embedded; starts with `imsg up`")
    return await _check_redis_at(embedded, translate("embedded, "))


async def _check_redis_at(url: str, kind: str) -> Finding:
    try:
        async with redis.connect(url) as server:
            names = ("appendonly", "appendfsync", "maxmemory-policy")
            config = {name: await _read_config(server, name) for name in names}
    except RedisUnavailable:
        remedy = fill("Start it, or correct {0}.", variable("redis_url"))
        return Finding("Redis", fill("{0}does not answer", kind), "It starts with `imsg up`." if kind else remedy)
    except RedisRefused as error:
        return Finding(
            "Redis", fill("refuses: {0}", error), fill("Correct the user and password in {0}.", variable("redis_url"))
        )
    if config["appendonly"] != "yes":
        return Finding("Redis", "loses its data on a restart", "Set `appendonly yes` there: claims must survive.")
    if config["maxmemory-policy"] != "noeviction":
        return Finding("Redis", "may evict", "Set `maxmemory-policy noeviction` there: claims must not vanish.")
    return Finding("Redis", fill("{0}append-only, fsync {1}, noeviction", kind, config["appendfsync"]))


async def _read_config(server: redis.Redis, name: str) -> str:
    reply: Any = await server.call("CONFIG", "GET", name)
    value = next(iter(reply.values())) if isinstance(reply, dict) else reply[1]
    return value.decode() if isinstance(value, bytes) else str(value)


async def check_broker(settings: all_in_one.Settings) -> Finding:
    """Connect to the broker and wait until it is ready."""
    url = settings.broker_url
    if not url:
        return Finding("broker", "streams on the same Redis")
    shown = mask(url)
    async with open_broker(url) as broker:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                while not broker.ready:  # noqa: ASYNC110  the port has no event for it
                    await asyncio.sleep(0.05)
        if broker.ready:
            return Finding("broker", fill("ready at {0}", shown))
    remedy = fill("Start it, or correct {0}; where it runs, see whether an alarm blocks it.", variable("broker_url"))
    return Finding("broker", fill("not ready at {0}", shown), remedy)


def check_database(settings: all_in_one.Settings) -> Finding:
    """Check the files of SQLite, or whether PostgreSQL answers."""
    url = settings.database_url
    if not url or url.startswith("sqlite:"):
        files = sorted(settings.data_dir.glob("*.db")) if not url else [Path(url.removeprefix("sqlite:///"))]
        return _check_sqlite([file for file in files if file.exists()])
    return check_postgres(hosts(url))


def _check_sqlite(files: Sequence[Path]) -> Finding:
    if not files:
        return Finding("database", "SQLite; made at the first start")
    for file in files:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=TIMEOUT_S)) as connection:
                (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            state = str(error)
        if state != "ok":
            return Finding("database", f"{file}: {state}", "Restore it from a backup.")
    return Finding("database", fill("SQLite, intact: {0}", ", ".join(file.name for file in files)))


def check_postgres(servers: Sequence[tuple[str, int]]) -> Finding:
    """Connect to each host and port: one must answer, and a remedy names the others."""
    faults = {f"{host}:{port}": fault for host, port in servers if (fault := _find_fault(host, port))}
    answering = ", ".join(f"{host}:{port}" for host, port in servers if f"{host}:{port}" not in faults)
    state = "; ".join(faults.values())
    if not answering:
        return Finding("database", state, fill("Start it, or correct {0}.", variable("database_url")))
    if faults:
        remedy = fill("No other server can take over without it: start it, or correct {0}.", variable("database_url"))
        return Finding("database", fill("PostgreSQL answers at {0}; {1}", answering, state), remedy)
    return Finding("database", fill("PostgreSQL answers at {0}", answering))


def _find_fault(host: str, port: int) -> str:
    """Return why no PostgreSQL answers there; empty where one does."""
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as sock:
            sock.sendall(SSL_REQUEST)
            reply = sock.recv(1)
    except OSError as error:
        return translate(
            fill("PostgreSQL at {0}:{1} does not answer ({2})", host, port, (error.strerror or str(error)).lower())
        )
    return "" if reply in (b"S", b"N") else translate(fill("{0}:{1} is no PostgreSQL", host, port))
