"""Logins a second, and what one message costs each part: processor time, bytes, round trips.

Logins: POST /api/login through the gateway over eight connections; argon2id is meant to be slow.
A message: single mails of 250 users in turn are accepted by a gateway (16 connections, so that nothing queues for
long), after a shorter turn that warms up, while sender and history take them; when all have arrived and are recorded,
what every process has used is divided by their number.
Bytes and commands of Redis are its own counts (INFO; what a script calls counts too); bytes of RabbitMQ are those of
its connections. Attempts: one a message.
With callbacks: the same once more, with an endpoint that is told of every message; until the last call is answered.
Floors: all processes of A's floor and of C's floor (the bare app, the bare consumer, and both times Redis and RabbitMQ
beside them), of this run; where A and C were not measured in it, a turn of each comes first.
"""

import json
import time
from collections.abc import Mapping

import httpx
import redis

from imsg_bench import load
from imsg_bench.costs import Meter
from imsg_bench.deployment import Deployment
from imsg_bench.filling import until, waiting
from imsg_bench.measure import Run
from imsg_bench.measures.accept import QUEUES, Contender, start_floor
from imsg_bench.measures.mails import floor_turn
from imsg_bench.measures.recording import QUEUE
from imsg_bench.result import Result, Series
from imsg_testing.api import DOCUMENTED
from imsg_testing.services import OneService

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
    floors = _floors(run)
    with run.deployment() as deployment:
        auth = deployment.auth()
        history = deployment.history()
        callbacks = deployment.callbacks()
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
        bodies = deployment.bodies()
        warmed = load.run(f"{gateway.url}/api/send", bodies, run.scale.warm_s, CONNECTIONS).accepted
        until(lambda: counts.count >= warmed, PATIENCE_S)
        until(lambda: waiting(deployment.share.plain_broker_url, QUEUE) == 0, PATIENCE_S)
        time.sleep(REST_S)
        counts.reset()
        before = _traffic(deployment)
        meter = Meter.begin(**pids)
        accepted = load.run(f"{gateway.url}/api/send", bodies, run.scale.turn_s, CONNECTIONS).accepted
        until(lambda: counts.count >= accepted, PATIENCE_S)
        until(lambda: waiting(deployment.share.plain_broker_url, QUEUE) == 0, PATIENCE_S)
        time.sleep(1)
        costs = meter.per_unit_us(accepted)
        time.sleep(REST_S)
        after = _traffic(deployment)
        telling = _Telling(deployment, callbacks)
        told = telling.measure(run, gateway.url, pids | {"callbacks": callbacks.process.pid})
    traffic = {name: (after[name] - before[name]) / accepted for name in after}
    return Result(
        KEY,
        TITLE,
        (
            Series("logins", "1/s", tuple(logins)),
            Series("all parts ÷ (A's floor + C's floor)", "", (sum(costs.values()) / sum(floors),), at_most=2.3),
            Series("processor time a message, all parts", "µs", (sum(costs.values()),)),
            Series("all parts ÷ floors, with a callback for every message", "", (told[0] / sum(floors),), at_most=2.8),
            Series("callbacks", "1/s", (told[1],)),
            Series("processor time, A's floor", "µs", (floors[0],)),
            Series("processor time, C's floor", "µs", (floors[1],)),
            *(Series(name, unit, (traffic[name],), at_most=GOALS.get(name)) for name, unit in UNITS.items()),
        ),
        costs,
    )


class _Telling:
    """The same load with an endpoint that hears of every message."""

    def __init__(self, deployment: Deployment, callbacks: OneService) -> None:
        self._callbacks = callbacks
        self._body = deployment.body()
        asked = {"url": deployment.callback_sink(), "events": ["message.sent"], "token": deployment.api.token()}
        added = deployment.api.call("POST", "/api/v2/callbacks", asked)
        if added["errorCode"] != 0:
            raise RuntimeError(f"no callback: {added}")

    def measure(self, run: Run, gateway: str, pids: Mapping[str, int]) -> tuple[float, float]:
        """Return processor time a message, in µs, and how many calls a second were answered."""
        meter, begun, before = Meter.begin(**pids), time.monotonic(), self._count()
        accepted = load.run(f"{gateway}/api/send", self._body, run.scale.turn_s, CONNECTIONS).accepted
        until(lambda: self._count() - before >= accepted, PATIENCE_S)
        seconds = time.monotonic() - begun
        return sum(meter.per_unit_us(accepted).values()), accepted / seconds

    def _count(self) -> float:
        text = httpx.get(f"{self._callbacks.url}/metrics", timeout=30).text
        name = 'imsg_callback_calls_total{result="delivered"} '
        return next((float(one.removeprefix(name)) for one in text.splitlines() if one.startswith(name)), 0.0)


def _floors(run: Run) -> tuple[float, float]:
    """Return what a request costs A's floor and a mail C's, all their processes, in µs."""
    if "A" in run.found and "C" in run.found:
        return run.found["A"].cost_of("floor: "), run.found["C"].cost_of("floor: ")
    with run.deployment() as deployment:
        deployment.auth()
        gateway = deployment.gateway()  # declares the queues
        url, process = start_floor(deployment)
        body = deployment.bodies()
        gateway.process.close()
        accepting = Contender(deployment, "floor", url, body, process, queues=QUEUES)
        accepting.turn(run)
        process.close()
        port, counts = deployment.sink()
        _, sending = floor_turn(deployment, port, counts, run.scale.mails)
    return sum(sum(values) for values in accepting.costs.values()), sum(sending.values())


GOALS: Mapping[str, float] = {"Redis, commands": 12}


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
