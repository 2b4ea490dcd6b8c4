"""What a settled message leaves: in Redis, in its append-only file, in PostgreSQL.

Single mails at a steady rate (open loop, 300 a second) while everything runs; when all have arrived and are recorded,
we wait until what is in Redis becomes no less: settled messages may be kept in a smaller form some seconds later.
Then every key of Redis is counted: MEMORY USAGE, all its elements, times the seconds it has still to live, less what
stood there before. Divided by the messages that is what a steady load of one message a second will come to hold, and
that is the figure: bytes × seconds, in MB for each message a second. What lived only while messages were under way, a
few seconds, is over by then and not in it (1,000 bytes for 10 s would be 0.01 MB); keys without an end are told apart.
Beside it: what Redis' own memory has grown by; the append-only file as written and as it is after a rewrite; the size
of history's database, indexes and all, after a checkpoint. Nothing is vacuumed: it grows as it would.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis

from imsg_bench.counts import Counts
from imsg_bench.deployment import Deployment
from imsg_bench.filling import count_ready, wait_until
from imsg_bench.measure import Run
from imsg_bench.measures.latency import time_load
from imsg_bench.measures.mails import BULK, HISTORY, SINGLE
from imsg_bench.result import Result, Series

KEY = "O"
TITLE = "What a settled message leaves"

RATE = 300.0
WARM = 100
"""Messages before any is counted: partitions, users and counters are there then."""

REST_S, POLL_S, STEADY_POLLS = 40.0, 3.0, 3
"""How long nothing is looked at, and how often in a row it must not have become less."""

PATIENCE_S = 300.0
ENDLESS = -1
SCANNED = 5_000


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key of Redis."""

    octets: int
    left_s: float
    """Seconds it has still to live, ENDLESS where it has no end."""


Keys = Mapping[str, StoredKey]


@dataclass(frozen=True, slots=True)
class Stores:
    """How much is kept, at one moment."""

    keys: Keys
    memory: int
    file: int
    database: int


def measure(run: Run) -> Result:
    """Measure O."""
    with run.deployment() as deployment:
        deployment.auth()
        database = deployment.share.database("history")
        deployment.history(database)
        deployment.catalog()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        deployment.mail_sender(port).start()
        url, body = f"{gateway.url}/api/send", deployment.body()
        _pass(run, deployment, url, body, counts, messages=WARM)
        before = measure_stores(deployment, database)
        _pass(run, deployment, url, body, counts, messages=run.scale.settled)
        after = measure_stores(deployment, database)
        rewritten = _rewrite(deployment)
    return result(before, after, rewritten, run.scale.settled)


def _pass(run: Run, deployment: Deployment, url: str, body: Path, counts: Counts, *, messages: int) -> None:
    """Send so many messages and wait until all that is left of them is what stays."""
    counts.reset()
    time_load(url, body, RATE, (messages + 0.5) / RATE)
    wait_until(lambda: counts.count >= messages, PATIENCE_S)
    wait_until(lambda: count_ready(deployment.share.plain_broker_url, SINGLE, BULK, HISTORY) == 0, PATIENCE_S)
    _rest(run, deployment)


def result(before: Stores, after: Stores, rewritten: int, messages: int) -> Result:
    """Return the figures from the stores before and after so many messages."""
    grown = {name: kept.octets - _octets(before.keys, name) for name, kept in after.keys.items()}
    held = sum(grown[name] * kept.left_s for name, kept in after.keys.items() if kept.left_s != ENDLESS)
    endless = sum(grown[name] for name, kept in after.keys.items() if kept.left_s == ENDLESS)
    return Result(
        KEY,
        TITLE,
        (
            Series("Redis, for each message/s of steady load", "MB", (held / messages / 1e6,), at_most=10),
            Series("Redis, keys", "B a message", (sum(grown.values()) / messages,)),
            Series("Redis, keys without an end", "B a message", (endless / messages,)),
            Series("Redis, its memory's growth", "B a message", ((after.memory - before.memory) / messages,)),
            Series("append-only file, written", "B a message", ((after.file - before.file) / messages,)),
            Series("append-only file, after a rewrite", "B a message", (rewritten / messages,)),
            Series("PostgreSQL", "B a message", ((after.database - before.database) / messages,)),
        ),
        notes=(f"{messages:,} messages at {RATE:.0f} a second.", *_by_kind(after.keys, grown, messages)),
    )


def _octets(keys: Keys, name: str) -> int:
    return keys[name].octets if name in keys else 0


def kind(name: str) -> str:
    """Return the kind of a key: its first words, without its owner."""
    return ":".join(name.partition("{")[0].rstrip(":").split(":")[:2])


def _by_kind(keys: Keys, grown: Mapping[str, int], messages: int) -> list[str]:
    """Return the size of each kind of key, the largest first."""
    kinds: dict[str, list[str]] = {}
    for name in keys:
        if grown[name]:
            kinds.setdefault(kind(name), []).append(name)
    lines = {}
    for of, names in kinds.items():
        octets = sum(grown[name] for name in names)
        held = sum(grown[name] * max(0.0, keys[name].left_s) for name in names) / messages / 1e6
        hours = held * 1e6 * messages / octets / 3600 if octets else 0.0
        lines[f"`{of}`: {len(names):,} keys, {octets / messages:.1f} B a message, {hours:.1f} h, {held:.2f} MB"] = held
    return sorted(lines, key=lambda line: -lines[line])


def measure_stores(deployment: Deployment, database: str) -> Stores:
    """Return how much the stores hold."""
    with redis.Redis.from_url(deployment.share.redis_url) as client:
        memory, persistence = client.info("memory"), client.info("persistence")
        keys = _keys(client)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        name = urlsplit(database).path.lstrip("/")
        row = connection.execute("SELECT pg_database_size(%s)", (name,)).fetchone()
    assert row is not None  # noqa: S101  a function answers a row
    return Stores(keys, int(memory["used_memory"]), int(persistence["aof_current_size"]), int(row[0]))


def _keys(client: "redis.Redis") -> dict[str, StoredKey]:
    names = list(client.scan_iter(count=SCANNED))
    keys: dict[str, StoredKey] = {}
    for at in range(0, len(names), SCANNED):
        some = names[at : at + SCANNED]
        pipeline = client.pipeline(transaction=False)
        for name in some:
            pipeline.memory_usage(name, samples=0)
            pipeline.pttl(name)
        answers = pipeline.execute()
        for name, octets, left_ms in zip(some, answers[::2], answers[1::2], strict=True):
            if octets is not None:  # else it has just ended
                keys[name.decode(errors="replace")] = StoredKey(octets, left_ms / 1e3 if left_ms >= 0 else ENDLESS)
    return keys


def _rest(run: Run, deployment: Deployment) -> None:
    """Wait until what is kept becomes no less. Raises TimeoutError."""
    run.pause(REST_S)
    least, steady = float("inf"), 0
    end = time.monotonic() + PATIENCE_S
    with redis.Redis.from_url(deployment.share.redis_url) as client:
        while steady < STEADY_POLLS:
            if time.monotonic() > end:
                raise TimeoutError("what is in Redis becomes less and less")
            held = sum(kept.octets for kept in _keys(client).values())
            steady = steady + 1 if held >= least * 0.99 else 0
            least = min(least, held)
            run.pause(POLL_S)


def _rewrite(deployment: Deployment) -> int:
    """Rewrite the append-only file; return its size."""
    with redis.Redis.from_url(deployment.share.redis_url) as client:
        client.bgrewriteaof()
        wait_until(lambda: not _rewrites(client), PATIENCE_S)
        return int(client.info("persistence")["aof_current_size"])


def _rewrites(client: "redis.Redis") -> bool:
    persistence = client.info("persistence")
    return bool(persistence["aof_rewrite_in_progress"] or persistence["aof_rewrite_scheduled"])
