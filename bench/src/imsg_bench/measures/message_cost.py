"""Logins a second, and what one message costs each part: processor time, bytes, round trips.

Logins: POST /api/login through the gateway over eight connections; argon2id is meant to be slow.
A message: single mails are accepted by a gateway (16 connections, so that nothing queues for long) while sender and
history take them; when all have arrived and are recorded, what every process has used is divided by their number.
Bytes and calls of Redis are its own counts (INFO); bytes of RabbitMQ are those of its connections.
Attempts: one a message. Reported only.
"""

import json
import time
from collections.abc import Mapping

import redis

from imsg_bench import load
from imsg_bench.costs import Meter
from imsg_bench.deployment import Deployment
from imsg_bench.filling import until, waiting
from imsg_bench.measure import Run
from imsg_bench.measures.recording import QUEUE
from imsg_bench.result import Result, Series
from imsg_testing.api import DOCUMENTED

KEY = "J"
TITLE = "Logins, and what a message costs"

LOGIN_CONNECTIONS = 8
CONNECTIONS = 16
PATIENCE_S = 300.0
REST_S = 6.0
"""RabbitMQ counts the bytes of its connections every five seconds."""


def measure(run: Run) -> Result:
    """Measure J."""
    logins = []
    with run.deployment() as deployment:
        auth = deployment.auth()
        history = deployment.history()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        login = deployment.folder / "login.json"
        login.write_text(json.dumps({"username": "admin", "password": DOCUMENTED["admin"]}))
        for number in range(run.scale.rounds):
            logins.append(load.run(f"{gateway.url}/api/login", login, run.scale.turn_s, LOGIN_CONNECTIONS).rate)
            run.progress.round(KEY, number, run.scale.rounds, logins=logins[-1])
        ours = {"gateway": gateway, "auth": auth, "history": history, "sender-smtp": sender}
        pids = {name: one.process.pid for name, one in ours.items()}
        pids |= {"Valkey": deployment.servers.valkey.process.pid, "RabbitMQ": deployment.servers.broker.process.pid}
        pids |= {"PostgreSQL": deployment.servers.postgres.process.pid}
        time.sleep(REST_S)
        before = _traffic(deployment)
        meter = Meter.begin(**pids)
        accepted = load.run(f"{gateway.url}/api/send", deployment.body(), run.scale.turn_s, CONNECTIONS).accepted
        until(lambda: counts.count >= accepted, PATIENCE_S)
        until(lambda: waiting(deployment.share.plain_broker_url, QUEUE) == 0, PATIENCE_S)
        time.sleep(1)
        costs = meter.per_unit_us(accepted)
        time.sleep(REST_S)
        after = _traffic(deployment)
    traffic = {name: (after[name] - before[name]) / accepted for name in after}
    return Result(
        KEY,
        TITLE,
        (
            Series("logins", "1/s", tuple(logins)),
            Series("processor time a message, all parts", "µs", (sum(costs.values()),)),
            *(Series(name, unit, (traffic[name],)) for name, unit in UNITS.items()),
        ),
        costs,
    )


UNITS: Mapping[str, str] = {
    "Redis, commands": "a message",
    "Redis, bytes in": "B a message",
    "Redis, bytes out": "B a message",
    "RabbitMQ, bytes in": "B a message",
    "RabbitMQ, bytes out": "B a message",
}


def _traffic(deployment: Deployment) -> dict[str, float]:
    with redis.Redis.from_url(deployment.share.redis_url) as client:
        told = client.info("stats")
    connections = deployment.servers.broker.manage("GET", f"vhosts/{deployment.share.host}/connections").json()
    values = (
        float(told["total_commands_processed"]),
        float(told["total_net_input_bytes"]),
        float(told["total_net_output_bytes"]),
        float(sum(one.get("recv_oct", 0) for one in connections)),
        float(sum(one.get("send_oct", 0) for one in connections)),
    )
    return dict(zip(UNITS, values, strict=True))
