"""Embedded: what `imsg up` accepts and delivers, all of iMSG and its Valkey on the same cores, in one process.

Accepted: wrk as in A, of as many users, while the mail channel is paused, so that mails wait in their stream; history,
which is in the same process and can't be paused, records them meanwhile. Floor: A's, on RabbitMQ, in the same round.
Delivered: what has been accepted waits; the channel goes on, and the mail server's clock counts from the first mail
to the last. Floor: C's, from as many mails in a quorum queue.
Both together: wrk again while the channel is open, reported.
The stream is emptied by sending between two turns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imsg_bench import load
from imsg_bench.costs import Meter
from imsg_bench.counts import Counts
from imsg_bench.deployment import Deployment, body_of
from imsg_bench.embedded import EmbeddedDeployment, prepare_embedded
from imsg_bench.figures import ratios
from imsg_bench.filling import wait_until
from imsg_bench.measure import Run
from imsg_bench.measures.accept import QUEUES, Contender, start_floor
from imsg_bench.measures.mails import PATIENCE_S, floor_turn
from imsg_bench.result import Result, Series
from imsg_bench.users import add_users, cache_users
from imsg_testing.service import KEYS

KEY = "G"
TITLE = "Embedded, all in one process"


def measure(run: Run) -> Result:
    """Measure G."""
    rates: dict[str, list[float]] = {
        name: [] for name in ("floor, accepted", "accepted", "floor, delivered", "delivered", "accepted, both together")
    }
    costs: dict[str, list[float]] = {}
    with run.deployment() as deployment:
        deployment.auth()
        deployment.gateway()
        port, counts = deployment.sink()
        floor_url, floor = start_floor(deployment)
        contender = Contender(deployment, "floor", floor_url, deployment.bodies(), floor, queues=QUEUES)
        with _open(deployment, port) as deployed:
            body = _bodies(deployment.folder, deployed)
            for number in range(run.scale.rounds):
                rates["floor, accepted"].append(contender.turn(run).rate)
                rates["floor, delivered"].append(floor_turn(deployment, port, counts, run.scale.mails)[0])
                for name, value in _turn(run, deployed, body, counts).items():
                    (costs.setdefault(name, []) if name.startswith("µs") else rates[name]).append(value)
                figures = {name: values[-1] for name, values in rates.items()}
                run.progress.round(KEY, number, run.scale.rounds, **figures)
    series = {name: tuple(values) for name, values in rates.items()}
    return Result(
        KEY,
        TITLE,
        (
            Series("accepted ÷ A's floor", "", ratios(series["accepted"], series["floor, accepted"]), at_least=0.5),
            Series("delivered ÷ C's floor", "", ratios(series["delivered"], series["floor, delivered"]), at_least=0.5),
            *(Series(name, "1/s", values) for name, values in series.items()),
        ),
        {name.removeprefix("µs "): sum(values) / len(values) for name, values in costs.items()},
    )


def _turn(run: Run, deployed: EmbeddedDeployment, body: Path, counts: Counts) -> dict[str, float]:
    url = f"{deployed.url}/api/send"
    _pause(deployed, paused=True)
    counts.reset()
    warmed = load.run(url, body, run.scale.warm_s)
    meter = Meter.begin(embedded=deployed.process.pid)
    accepted = load.run(url, body, run.scale.turn_s)
    accepting = meter.per_unit_us(accepted.accepted)["embedded"]
    count_ready = warmed.accepted + accepted.accepted
    meter = Meter.begin(embedded=deployed.process.pid)
    _pause(deployed, paused=False)
    wait_until(lambda: counts.count >= count_ready, PATIENCE_S, every_s=0.02)
    rate, delivering = counts.rate, meter.per_unit_us(count_ready)["embedded"]
    counts.reset()
    both = load.run(url, body, run.scale.turn_s)
    wait_until(lambda: counts.count >= both.accepted, PATIENCE_S, every_s=0.05)
    return {
        "accepted": accepted.rate,
        "delivered": rate,
        "accepted, both together": both.rate,
        "µs accepting (imsg up with its Valkey)": accepting,
        "µs delivering (imsg up with its Valkey)": delivering,
    }


@contextmanager
def _open(deployment: Deployment, port: int) -> Iterator[EmbeddedDeployment]:
    server = {"HOST": "127.0.0.1", "PORT": port, "SECURITY": "none", "SENDER": "imsg@example.com", "CONNECTIONS": 16}
    settings = {f"IMSG_SMTP__{name}": str(value) for name, value in server.items()}
    settings["IMSG_TOKEN_KEY"] = KEYS["IMSG_TOKEN_KEY"]
    with prepare_embedded(deployment.folder / "up", settings) as deployed:
        deployed.start()
        deployed.open_wide()
        yield deployed


def _bodies(folder: Path, deployed: EmbeddedDeployment) -> Path:
    """Write the body of a mail for each of many users, who are added to auth's database."""
    tokens = add_users(folder / "up" / "data" / "auth.db", KEYS["IMSG_TOKEN_KEY"])
    cache_users(deployed.client, tokens)
    path = folder / "embedded.jsonl"
    path.write_text("\n".join(map(body_of, tokens)))
    return path


def _pause(deployed: EmbeddedDeployment, *, paused: bool) -> None:
    answer = deployed.call("PATCH", "/api/v2/channels/smtp", {"token": deployed.token(), "paused": paused})
    assert answer["errorCode"] == 0, answer  # noqa: S101  a refusal is no measurement
