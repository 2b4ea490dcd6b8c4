"""Scheduled messages that are due at one moment: how long until all are with their channel, and codes beside them.

Scheduler's table has a million jobs that are not due for a month, and as many that are due as is said below: a tenth in
lists' lane, a thousandth codes. Timed: from the moment they are due until scheduler has none of them any more, so each
was published and confirmed by the broker before; and until it has none of the codes. Gateway, auth, history, scheduler
and sender run, and the sender sends what comes. First on the idle system, then from that moment on, other users
send log-in codes by an open loop, as in H; how long each takes from its POST to the mail server is measured as there.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from imsg_bench.costs import Meter
from imsg_bench.filling import job, wait_until
from imsg_bench.measure import Run
from imsg_bench.measures.one_among_many import RATE, CodesBesideLoad
from imsg_bench.result import Result, Series
from imsg_scheduler.store import write_row

KEY = "P"
TITLE = "100,000 scheduled messages that are due at one moment, of 1,100,000"

WITHIN_S = 60.0
PATIENCE_S = 900.0
POLL_S = 0.25
DUE_IN_S = 5.0
MADE_A_SECOND = 5_000
LATER = timedelta(days=30)
CODES_EACH, LISTED_EACH = 1_000, 10
"""One in so many is a code; one in so many is in the lane of lists."""

_SEED = """
INSERT INTO scheduled (request, user_id, urgency, due_ms, method, category, at_any_hour, releasing, body)
SELECT id, %(user_id)s, CASE WHEN number %% %(codes)s = 0 THEN 0 WHEN number %% %(lists)s = 0 THEN 2 ELSE 1 END,
       %(due_ms)s, 'smtp', 'notice', false, 0,
       convert_to(replace(replace(%(body)s, %(request)s, id), '"normal"',
         CASE WHEN number %% %(codes)s = 0 THEN '"priority"' WHEN number %% %(lists)s = 0 THEN '"bulk"'
              ELSE '"normal"' END), 'UTF8')
FROM (SELECT number, left(%(request)s, 13) || lpad(to_hex(number %% 4096), 3, '0') || '8'
                     || %(series)s || lpad(to_hex(number), 14, '0') AS id
      FROM generate_series(1::bigint, %(count)s) AS number) AS made
"""

_IS_DUE = "SELECT EXISTS (SELECT 1 FROM scheduled WHERE urgency <= %s AND due_ms <= %s)"


@dataclass(frozen=True, slots=True)
class Due:
    """What is due: how long until it was published."""

    all_s: float
    codes_s: float


def measure(run: Run) -> Result:
    """Measure P."""
    due, waiting = run.scale.due, run.scale.rows
    with run.deployment() as deployment:
        auth, history = deployment.auth(), deployment.history()
        database = deployment.share.database("catalog")
        catalog = deployment.catalog(database)
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        services = {
            "gateway": gateway,
            "auth": auth,
            "history": history,
            "catalog and scheduler": catalog,
            "sender-smtp": sender,
        }
        servers = deployment.servers
        pids = {name: service.process.pid for name, service in services.items()}
        pids |= {"Valkey": servers.valkey.process.pid, "RabbitMQ": servers.broker.process.pid}
        pids |= {"PostgreSQL": servers.postgres.process.pid}
        beside = CodesBesideLoad(run, deployment, f"{gateway.url}/api/v2/messages", counts, pids)
        run.progress.show(f"{KEY}  making {waiting + due:,} jobs")
        user_id = deployment.api.call("GET", "/api/v2/me", token=deployment.api.token())["id"]
        with psycopg.connect(database, autocommit=True) as connection:
            seed(connection, user_id, waiting, datetime.now(UTC) + LATER, series="0")
            connection.execute("VACUUM ANALYZE scheduled")
            beside.send_codes("warm", 1.0)
            idle = beside.send_codes("idle", beside.count / RATE)
            at = datetime.now(UTC) + timedelta(seconds=DUE_IN_S + due / MADE_A_SECOND)
            seed(connection, user_id, due, at, series="1")
            assert datetime.now(UTC) < at, "they were made too slowly"  # noqa: S101  it would be no measurement
            time.sleep((at - datetime.now(UTC)).total_seconds())
            meter = Meter.begin(**pids)
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(beside.send_codes, "busy", beside.count / RATE)
                release = time_release(connection, at)
                costs = meter.per_unit_us(due)
                busy = sending.result()
            row = connection.execute("SELECT count(*) FROM scheduled").fetchone()
        assert row is not None  # noqa: S101  count answers a row
        assert row[0] == waiting  # noqa: S101  the others wait
    return Result(
        KEY,
        TITLE,
        (
            Series("until all were published", "s", (release.all_s,), at_most=WITHIN_S),
            Series("published", "1/s", (due / release.all_s,)),
            Series("until the codes among them were", "s", (release.codes_s,)),
            Series("other codes, p99, idle", "ms", (idle.arrived[0.99],)),
            Series("other codes, p99, busy", "ms", (busy.arrived[0.99],), at_most=1_000),
            Series("other codes, p50, busy", "ms", (busy.arrived[0.5],)),
        ),
        costs,
        (f"{due:,} were due, {waiting:,} others waited; {beside.count:,} codes beside them.",),
    )


def seed(connection: "psycopg.Connection[Any]", user_id: str, count: int, due_at: datetime, series: str) -> None:
    """Make so many scheduled jobs inside PostgreSQL."""
    times = {"due_at": due_at, "expires_at": due_at + timedelta(days=1)}
    made = job(["reader@example.com"]).model_copy(update={"user_id": user_id, **times})
    row = write_row(made)
    values = {
        "user_id": user_id,
        "codes": CODES_EACH,
        "lists": LISTED_EACH,
        "due_ms": row["due_ms"],
        "body": row["body"].decode(),
        "request": made.request,
        "series": series,
        "count": count,
    }
    connection.execute(_SEED, values)


def time_release(connection: "psycopg.Connection[Any]", at: datetime) -> Due:
    """Wait until all that was due at a moment is gone; return how long it took."""
    due_ms = round(at.timestamp() * 1_000)
    took: list[float] = []
    for urgency in (0, 2):

        def are_gone(urgency: int = urgency) -> bool:
            row = connection.execute(_IS_DUE, (urgency, due_ms)).fetchone()
            return row is not None and not row[0]

        wait_until(are_gone, PATIENCE_S, every_s=POLL_S)
        took.append((datetime.now(UTC) - at).total_seconds())
    return Due(codes_s=took[0], all_s=took[1])
