"""Accepted requests a second: POST /api/send of one mail over 64 connections; senders and history are stopped.

Timed: wrk keeps 64 connections busy for a turn, after a shorter turn that warms up; every answer is looked at, and one
refusal ends the measurement. The requests are of 250 users in turn, each below the limit of a crowd. The
gateway checks the token, the fields and the limits, and publishes a Job, confirmed.
Floor: a bare ASGI app on the same uvicorn and uvloop: one Lua call that shares its pipeline, one confirmed publish of
a prebuilt Job to the same two quorum queues (`floors/send.py`). It reads no token and checks nothing.
Peer: FastAPI, redis-py and Celery on the same broker, with confirms and a quorum queue (`bench/peer/app.py`).
Rounds: floor, iMSG and peer one after the other in each, so that what slows the machine slows all three; the figure is
the median of the rounds' ratios. The queues are emptied between turns.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import redis

from imsg_bench import load
from imsg_bench.costs import Meter
from imsg_bench.deployment import Deployment
from imsg_bench.figures import ratios
from imsg_bench.job import prebuilt
from imsg_bench.load import Load
from imsg_bench.measure import Run
from imsg_bench.result import Result, Series
from imsg_testing.processes import Process

KEY = "A"
TITLE = "Accepted requests, senders and history stopped"

QUEUES = ("imsg.smtp.normal", "imsg.smtp.bulk", "imsg.history")
"""Where what is accepted waits: a user's messages past a crowd's first ones go with the lists."""

PEER_QUEUE = "peer.mail"
PEER = Path(__file__).parents[3] / "peer"
REST_S = 0.5


class Contender:
    """Something that takes POST /api/send."""

    def __init__(
        self,
        deployment: Deployment,
        name: str,
        url: str,
        body: Path,
        process: Process,
        *,
        queues: tuple[str, ...],
        beside: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.url = f"{url}/api/send"
        self._deployment = deployment
        self._body = body
        self._queues = queues
        self._pids = {
            name: process.pid,
            "Valkey": deployment.servers.valkey.process.pid,
            "RabbitMQ": deployment.servers.broker.process.pid,
            **beside,
        }
        self.rates: list[float] = []
        self.costs: dict[str, list[float]] = {}

    def turn(self, run: Run) -> Load:
        """Load it for a turn; note its rate and what it cost."""
        self._deployment.share.purge(*self._queues)
        load.run(self.url, self._body, run.scale.warm_s)
        run.pause(REST_S)
        meter = Meter.begin(**self._pids)
        measured = load.run(self.url, self._body, run.scale.turn_s)
        for name, cost in meter.per_unit_us(measured.accepted).items():
            self.costs.setdefault(name, []).append(cost)
        self.rates.append(measured.rate)
        self._deployment.share.purge(*self._queues)
        return measured


def measure(run: Run) -> Result:
    """Measure A."""
    with run.deployment() as deployment:
        deployment.auth()
        gateway = deployment.gateway()
        floor_url, floor = start_floor(deployment)
        body = deployment.bodies()
        contenders = [
            Contender(deployment, "floor", floor_url, body, floor, queues=QUEUES),
            Contender(deployment, "iMSG", gateway.url, body, gateway.process, queues=QUEUES),
        ]
        if run.peer_python is not None:
            peer_url, peer = start_peer(deployment, run.peer_python)
            single_body = deployment.body()
            contenders.append(Contender(deployment, "peer", peer_url, single_body, peer, queues=(PEER_QUEUE,)))
        for number in range(run.scale.rounds):
            rates = {contender.name: contender.turn(run).rate for contender in contenders}
            rates["ratio"] = rates["iMSG"] / rates["floor"]
            run.progress.round(KEY, number, run.scale.rounds, **rates)
        return _result(contenders)


def _result(contenders: list[Contender]) -> Result:
    by_name = {contender.name: contender for contender in contenders}
    rates = {name: tuple(contender.rates) for name, contender in by_name.items()}
    series = [
        Series("iMSG ÷ floor", "", ratios(rates["iMSG"], rates["floor"]), at_least=0.75),
        *(Series(f"{name}, accepted", "1/s", values) for name, values in rates.items()),
    ]
    if "peer" in rates:
        series.insert(1, Series("iMSG ÷ peer", "", ratios(rates["iMSG"], rates["peer"]), at_least=5))
    costs = {
        f"{name}: {part}": sum(values) / len(values)
        for name, contender in by_name.items()
        for part, values in contender.costs.items()
    }
    return Result(KEY, TITLE, tuple(series), costs)


def start_floor(deployment: Deployment, exchange: str = "imsg", key: str = "job.smtp.normal") -> tuple[str, Process]:
    """Start the floor, on the gateway's own exchange and queues where no others are named."""
    job = deployment.folder / "job.json"
    job.write_bytes(prebuilt())
    settings = {
        "FLOOR_AMQP": deployment.share.plain_broker_url,
        "FLOOR_REDIS": deployment.share.redis_url,
        "FLOOR_EXCHANGE": exchange,
        "FLOOR_KEY": key,
        "FLOOR_JOB": str(job),
    }
    return deployment.serve("imsg_bench.floors.send:app", settings, "--factory")


def start_peer(deployment: Deployment, python: Path) -> tuple[str, Process]:
    """Start the peer; the token that the load carries is one of its own too."""
    with redis.Redis.from_url(deployment.share.redis_url) as client:
        client.hset(f"peer:token:{deployment.api.token()}", "username", "admin")
    settings = {"PEER_AMQP": deployment.share.plain_broker_url, "PEER_REDIS": deployment.share.redis_url}
    return deployment.serve("app:app", settings, "--app-dir", str(PEER), python=python)
