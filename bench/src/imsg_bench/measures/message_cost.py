"""Logins a second, and what one message costs each part: processor time, bytes, round trips.

Logins: POST /api/login through the gateway over eight connections; argon2id is meant to be slow.
A message: single mails of 250 users in turn are accepted by a gateway (16 connections, so that nothing queues for
long), after a shorter turn that warms up, while sender and history take them; when all have arrived and are recorded,
what every process has used is divided by their number.
Bytes and commands of Redis are its own counts (INFO; what a script calls counts too); bytes of RabbitMQ are those of
its connections; both of the first round. Attempts: one a message.
With callbacks: the same once more, of one user with an endpoint that is called for every message; until the last call
is answered.
Floors: all processes of A's floor and of C's floor: the bare app, the bare consumer, and both times Redis and RabbitMQ
beside them.
Rounds: A's floor, C's floor, messages and messages with callbacks one after the other in each, so that what slows the
machine slows all four; iMSG idles while the floors are measured. The figure is the median of the rounds' ratios.
"""

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack

import httpx
import redis

from imsg_bench import load
from imsg_bench.costs import Meter
from imsg_bench.counts import Counts
from imsg_bench.deployment import Deployment
from imsg_bench.figures import median, ratios
from imsg_bench.filling import count_ready, wait_until
from imsg_bench.measure import Run
from imsg_bench.measures.accept import QUEUES, Contender, start_floor
from imsg_bench.measures.mails import floor_turn
from imsg_bench.measures.recording import QUEUE
from imsg_bench.result import Result, Series
from imsg_testing.api import DOCUMENTED
from imsg_testing.service import Service

KEY = "J"
TITLE = "Logins, and what a message costs"

LOGIN_CONNECTIONS = 8
CONNECTIONS = 16
PATIENCE_S = 300.0
REST_S = 6.0
"""RabbitMQ counts the bytes of its connections every five seconds."""

SETTLED_S = 1.0

Costs = Mapping[str, float]
"""Processor µs a message, by part."""


def measure(run: Run) -> Result:
    """Measure J."""
    logins: list[float] = []
    accepting: list[float] = []
    sending: list[float] = []
    without_callbacks: list[Costs] = []
    with_callbacks: list[Costs] = []
    calls: list[float] = []
    traffic: Mapping[str, float] = {}
    with ExitStack() as stack:
        floors = _Floors(stack.enter_context(run.deployment(may_last=False)), run)
        imsg = _Imsg(stack.enter_context(run.deployment()), run)
        for number in range(run.scale.rounds):
            logins.append(imsg.log_in())
            accepting.append(floors.accept())
            sending.append(floors.send())
            if number == 0:
                cost, traffic = imsg.deliver_and_count()
            else:
                cost, _ = imsg.deliver()
            without_callbacks.append(cost)
            cost, rate = imsg.measure_delivery()
            with_callbacks.append(cost)
            calls.append(rate)
            both = accepting[-1] + sending[-1]
            rates = {
                "ratio": sum(without_callbacks[-1].values()) / both,
                "told": sum(with_callbacks[-1].values()) / both,
            }
            run.progress.round(KEY, number, run.scale.rounds, logins=logins[-1], **rates)
    both_floors = [accepted + other for accepted, other in zip(accepting, sending, strict=True)]
    totals, totals_with_callbacks = (
        [sum(cost.values()) for cost in costs] for costs in (without_callbacks, with_callbacks)
    )
    return Result(
        KEY,
        TITLE,
        (
            Series("logins", "1/s", tuple(logins)),
            Series("all parts ÷ (A's floor + C's floor)", "", ratios(totals, both_floors), at_most=2.3),
            Series("processor time a message, all parts", "µs", tuple(totals)),
            Series(
                "all parts ÷ floors, with a callback for every message",
                "",
                ratios(totals_with_callbacks, both_floors),
                at_most=2.8,
            ),
            Series("processor time a message with a callback, all parts", "µs", tuple(totals_with_callbacks)),
            Series("callbacks", "1/s", tuple(calls)),
            Series("processor time, A's floor", "µs", tuple(accepting)),
            Series("processor time, C's floor", "µs", tuple(sending)),
            *(Series(name, unit, (traffic[name],), at_most=GOALS.get(name)) for name, unit in UNITS.items()),
        ),
        _middle(without_callbacks),
        (f"with callbacks, µs: {', '.join(f'{name} {cost:.0f}' for name, cost in _middle(with_callbacks).items())}",),
    )


class _Floors:
    """A's floor and C's, on queues of their own."""

    def __init__(self, deployment: Deployment, run: Run) -> None:
        self._deployment = deployment
        self._run = run
        deployment.auth()
        gateway = deployment.gateway()  # declares the queues
        url, process = start_floor(deployment)
        body = deployment.bodies()
        gateway.process.close()
        self._accepting = Contender(deployment, "floor", url, body, process, queues=QUEUES)
        self._port, self._counts = deployment.sink()
        with redis.Redis.from_url(deployment.share.redis_url) as client:
            client.flushall()  # of this auth's users nothing is left for the next

    def accept(self) -> float:
        """Run a turn of A's; return the cost of a request, in µs."""
        self._accepting.turn(self._run)
        return sum(values[-1] for values in self._accepting.costs.values())

    def send(self) -> float:
        """Run a turn of C's; return the cost of a mail, in µs."""
        _, cost = floor_turn(self._deployment, self._port, self._counts, self._run.scale.mails)
        return sum(cost.values())


class _Imsg:
    """iMSG with everything running, and an endpoint that is called for every message of one user."""

    def __init__(self, deployment: Deployment, run: Run) -> None:
        self._deployment = deployment
        self._run = run
        auth = deployment.auth()
        history = deployment.history()
        deployment.catalog()
        self._callbacks: Service = deployment.callbacks()
        self._gateway = deployment.gateway()
        port, counts = deployment.sink()
        self._arrived: Counts = counts
        sender = deployment.mail_sender(port)
        sender.start()
        self._login = deployment.folder / "login.json"
        self._login.write_text(json.dumps({"username": "admin", "password": DOCUMENTED["admin"]}))
        ours = {"gateway": self._gateway, "auth": auth, "history": history, "sender-smtp": sender}
        servers = deployment.servers
        self._pids = {name: service.process.pid for name, service in ours.items()}
        self._pids |= {"Valkey": servers.valkey.process.pid, "RabbitMQ": servers.broker.process.pid}
        self._pids |= {"PostgreSQL": servers.postgres.process.pid}
        self._bodies = deployment.bodies()
        self._body = deployment.body()
        body = {"url": deployment.callback_sink(), "events": ["message.sent"], "token": deployment.api.token()}
        answer = deployment.api.call("POST", "/api/v2/callbacks", body)
        if answer["errorCode"] != 0:
            raise RuntimeError(f"no callback: {answer}")
        self._accept(run.scale.warm_s)

    def log_in(self) -> float:
        """Log in for a turn; return how often a second."""
        url = f"{self._gateway.url}/api/login"
        return load.run(url, self._login, self._run.scale.turn_s, LOGIN_CONNECTIONS).rate

    def deliver(self) -> tuple[Costs, float]:
        """Accept and deliver for a turn; return what a message cost, and how many they were."""
        meter = Meter.begin(**self._pids)
        accepted = self._accept(self._run.scale.turn_s)
        return meter.per_unit_us(accepted), accepted

    def deliver_and_count(self) -> tuple[Costs, Mapping[str, float]]:
        """Run `deliver`, and count bytes and commands a message."""
        self._run.pause(REST_S)
        before = _traffic(self._deployment)
        costs, accepted = self.deliver()
        self._run.pause(REST_S)
        after = _traffic(self._deployment)
        return costs, {name: (after[name] - before[name]) / accepted for name in after}

    def measure_delivery(self) -> tuple[Costs, float]:
        """Deliver for a turn with a callback for every message; return what one cost, and how many calls a second."""
        pids = self._pids | {"callbacks": self._callbacks.process.pid}
        meter, begun, before = Meter.begin(**pids), time.monotonic(), self._count_calls()
        url = f"{self._gateway.url}/api/send"
        accepted = load.run(url, self._body, self._run.scale.turn_s, CONNECTIONS).accepted
        wait_until(lambda: self._count_calls() - before >= accepted, PATIENCE_S)
        seconds = time.monotonic() - begun
        return meter.per_unit_us(accepted), accepted / seconds

    def _accept(self, seconds: float) -> float:
        """Accept for so long; return how many, once all have arrived and are recorded."""
        self._arrived.reset()
        accepted = load.run(f"{self._gateway.url}/api/send", self._bodies, seconds, CONNECTIONS).accepted
        wait_until(lambda: self._arrived.count >= accepted, PATIENCE_S)
        wait_until(lambda: count_ready(self._deployment.share.plain_broker_url, QUEUE) == 0, PATIENCE_S)
        self._run.pause(SETTLED_S)
        return accepted

    def _count_calls(self) -> float:
        text = httpx.get(f"{self._callbacks.url}/metrics", timeout=30).text
        name = 'imsg_callback_calls_total{result="delivered"} '
        return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)


def _middle(costs: list[Costs]) -> Costs:
    """Return each part's median of the rounds."""
    return {name: median([cost[name] for cost in costs]) for name in costs[0]}


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
        with_callbacks = client.info("stats")
    connections = deployment.servers.broker.manage("GET", f"vhosts/{deployment.share.host}/connections").json()
    values = (
        float(with_callbacks["total_commands_processed"]),
        float(with_callbacks["total_net_input_bytes"]),
        float(with_callbacks["total_net_output_bytes"]),
        float(sum(connection.get("recv_oct", 0) for connection in connections)),
        float(sum(connection.get("send_oct", 0) for connection in connections)),
    )
    return dict(zip(UNITS, values, strict=True))
