"""History: events recorded a second, and how long queries take among a million messages.

Recording: history is frozen while its queue is filled with Jobs and with outcomes in batches of ten, then goes on; it
counts what it has committed and acked, and that is read ten times a second. An event is a Job or an outcome.
Floor: the same upserts by the bare driver into the same indexed tables, in the same batches, from rows made before
(`floors/upserts.py`): no broker, no parsing.
Queries: a history of 1,000,000 messages (5,000,000 in bench-history) over 20 days, 100 users, three methods, seven
statuses, half of it in lists of 1,000. Every filter by itself and some together, the first page and the thousandth,
through the gateway with a token, one after the other, other values each time; the figure is the slowest kind's 95th
percentile. PostgreSQL is ours, private, with 32 MiB of shared buffers.
"""

import http.client
import json
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import httpx
import psycopg

from imsg_bench.costs import Meter
from imsg_bench.deployment import Deployment
from imsg_bench.figures import percentile, ratios
from imsg_bench.filling import count_ready, fill, job, key_of, wait_until
from imsg_bench.floors.upserts import batches, write_batches
from imsg_bench.measure import Run
from imsg_bench.result import Result, Series
from imsg_bench.seeding import USERS, cursor, seed
from imsg_contract.topology import OUTCOME
from imsg_contract.wire import Outcome, Outcomes, Status
from imsg_testing.service import Service

KEY = "F"
TITLE = "History: recording and queries"

QUEUE = "imsg.history"
OUTCOMES_A_BATCH = 10
EMPTYINGS = 5
PATIENCE_S = 300.0
PAGE = 50
DEEP = 1_000


def measure(run: Run) -> Result:
    """Measure F."""
    with run.deployment() as deployment:
        deployment.auth()
        database = deployment.share.database("history")
        history = deployment.history(database)
        gateway = deployment.gateway()  # declares the queues
        gateway.process.close()
        recorded, floor, costs = _recording(run, deployment, history, database)
    with run.deployment() as deployment:
        deployment.auth()
        database = deployment.share.database("history")
        deployment.history(database)
        gateway = deployment.gateway()
        run.progress.show(f"{KEY}  making {run.scale.rows:,} messages")
        _empty(database)
        seeded = seed(database, run.scale.rows)
        kinds = list(_kinds(database))
        times = {name: _time(run, deployment, gateway.url, query) for name, query in kinds}
    slowest = max(times, key=lambda name: percentile(times[name], 0.95))
    series = [
        Series("recorded ÷ floor", "", ratios(recorded, floor), at_least=0.5),
        Series("recorded", "events/s", recorded),
        Series("floor", "events/s", floor),
        Series(f"query p95, slowest: {slowest}", "ms", (percentile(times[slowest], 0.95),), at_most=20),
        *(Series(f"query p95: {name}", "ms", (percentile(values, 0.95),)) for name, values in times.items()),
    ]
    return Result(KEY, TITLE, tuple(series), costs, (f"Queried among {seeded:,} messages.",))


def _recording(
    run: Run, deployment: Deployment, history: Service, database: str
) -> tuple[tuple[float, ...], tuple[float, ...], dict[str, float]]:
    recorded, floor = [], []
    costs: dict[str, list[float]] = {}
    messages = run.scale.events // 2
    for number in range(run.scale.rounds):
        _empty(database)
        made = batches(messages, next(iter(_events(1)))[1])
        floor.append(2 * messages / write_batches(database, made))
        _empty(database)
        rate, cost = _record(deployment, history, messages)
        recorded.append(rate)
        for name, value in cost.items():
            costs.setdefault(name, []).append(value)
        run.progress.round(KEY, number, run.scale.rounds, floor=floor[-1], recorded=rate)
    return tuple(recorded), tuple(floor), {name: sum(values) / len(values) for name, values in costs.items()}


def _empty(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for left in range(EMPTYINGS - 1, -1, -1):
            try:
                connection.execute("TRUNCATE requests, jobs, messages, attempts, receipts")
                break
            except psycopg.errors.DeadlockDetected:  # history's sweep reads the same tables in another order
                if not left:
                    raise
        connection.execute("CHECKPOINT")


def _events(messages: int) -> Iterator[tuple[str, bytes]]:
    """Make (key, body) of so many Jobs, then of their outcomes."""
    jobs = [job([f"reader{number}@example.com"]) for number in range(messages)]
    for accepted in jobs:
        yield key_of(accepted), accepted.encode()
    now = datetime.now(UTC)
    for at in range(0, messages, OUTCOMES_A_BATCH):
        outcomes = tuple(
            Outcome(
                request=accepted.request,
                n=0,
                attempt=1,
                status=Status.SENT,
                provider="smtp",
                provider_id=f"<{accepted.request}-0@example.com>",
                detail="250 2.0.0 Ok",
                at=now,
            )
            for accepted in jobs[at : at + OUTCOMES_A_BATCH]
        )
        yield OUTCOME, Outcomes(outcomes=outcomes).encode()


def _record(deployment: Deployment, history: Service, messages: int) -> tuple[float, dict[str, float]]:
    """Fill the queue while history is frozen, resume it, and time until all is committed and acked."""
    before = _deliveries(history)
    url = deployment.share.plain_broker_url
    history.process.pause()
    count = fill(url, _events(messages))
    wait_until(lambda: count_ready(url, QUEUE) + 1_024 >= count, PATIENCE_S)  # history holds the rest, unread
    time.sleep(0.5)
    meter = Meter.begin(
        history=history.process.pid,
        PostgreSQL=deployment.servers.postgres.process.pid,
        RabbitMQ=deployment.servers.broker.process.pid,
    )
    begun = time.monotonic()
    history.process.signal(signal.SIGCONT)
    wait_until(lambda: _deliveries(history) - before >= count, PATIENCE_S)
    return 2 * messages / (time.monotonic() - begun), meter.per_unit_us(2 * messages)


def _deliveries(history: Service) -> float:
    text = httpx.get(f"{history.url}/metrics", timeout=30).text
    name = "imsg_history_events_total "
    return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)


Query = Callable[[int], dict[str, str]]
"""The parameters of the so-many-th query of a kind: other values each time."""


def _kinds(database: str) -> Iterator[tuple[str, Query]]:
    """Yield every kind of query, with its first page and, where there are so many, its thousandth."""
    now = datetime.now(UTC)
    day, week = (now - timedelta(days=1)).isoformat(), (now - timedelta(days=7)).isoformat()
    names = _names(database)
    filters: list[tuple[str, str, Callable[[int], dict[str, str]]]] = [
        ("all", "true", lambda _: {}),
        ("username", "username = %(username)s", lambda i: {"username": f"user{i % USERS}"}),
        ("method", "method = %(method)s", lambda i: {"method": ("smtp", "sms", "wechat")[i % 3]}),
        ("status", "status = %(status)s", lambda i: {"status": ("sent", "failed", "queued", "delivered")[i % 4]}),
        ("to", "address = %(to)s", lambda i: {"to": f"reader{i * 97 % 50_000}@example.com"}),
        ("since and until", "true", lambda _: {"since": week, "until": day}),
        ("method and status", "method = 'smtp' AND status = 'sent'", lambda _: {"method": "smtp", "status": "sent"}),
        (
            "username, status, since",
            "username = %(username)s AND status = %(status)s",
            lambda i: {"username": f"user{i % USERS}", "status": "sent", "since": week},
        ),
        ("id of a request", "false", lambda i: {"id": names[i % len(names)]}),
        ("id of a message", "false", lambda i: {"id": f"{names[i % len(names)]}-0"}),
    ]
    for name, where, values in filters:
        yield f"{name}, page 1", values
        deep = cursor(database, where, dict(values(0)), PAGE * (DEEP - 1))
        if deep is not None and where != "false":
            yield f"{name}, page {DEEP:,}", _behind(values(0), deep)


def _behind(values: dict[str, str], deep: str) -> Query:
    return lambda _: {**values, "cursor": deep}


def _names(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT request FROM requests TABLESAMPLE BERNOULLI (1) LIMIT 100").fetchall()
    return [row[0].hex for row in rows]


def _time(run: Run, deployment: Deployment, url: str, query: Query) -> list[float]:
    """Make the calls one after the other; return the milliseconds of each."""
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    token = quote(deployment.api.token(), safe="")
    times_ms = []
    for number in range(-3, run.scale.queries):  # three to warm up
        path = f"/api/query?token={token}&limit={PAGE}&{urlencode(query(max(0, number)))}"
        begun = time.monotonic()
        connection.request("GET", path)
        body = connection.getresponse().read()
        took = (time.monotonic() - begun) * 1e3
        answer = json.loads(body)
        assert answer["errorCode"] == 0, answer  # noqa: S101  a refusal is no measurement
        if number >= 0:
            times_ms.append(took)
    connection.close()
    return times_ms
