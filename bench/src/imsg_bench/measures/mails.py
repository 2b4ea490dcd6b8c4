"""Mails a second from a filled queue, by one sender: single mails, and lists in parts of 50.

Timed: the queue is filled while the sender is stopped; it starts, and the mail server's own clock counts from the
first mail to the last. 16 connections to the server. The sender reads Jobs, keeps its ledger in Redis, renders,
sends, publishes outcomes confirmed, and acks; history is stopped, so that outcomes wait in its queue.
Floor: a bare consumer, pika and 16 aiosmtplib connections, one prebuilt mail for everybody, one ack a mail
(`floors/consumer.py`), from the same queue.
The mail server is ours (`sink.py`): it takes everything and keeps nothing.
"""

from collections.abc import Callable
from contextlib import ExitStack

from imsg_bench.costs import Meter
from imsg_bench.counts import Counts
from imsg_bench.deployment import Deployment
from imsg_bench.figures import ratios
from imsg_bench.filling import count_ready, fill, job, key_of, wait_until
from imsg_bench.measure import Run
from imsg_bench.result import Result, Series
from imsg_contract.wire import Content
from imsg_testing.processes import Process

KEY = "C"
TITLE = "Mails from a filled queue"

SINGLE, BULK, HISTORY = "imsg.smtp.normal", "imsg.smtp.bulk", "imsg.history"
PATIENCE_S = 180.0


def measure(run: Run) -> Result:
    """Measure C."""
    rates: dict[str, list[float]] = {"floor": [], "singles": [], "bulk": []}
    costs: dict[str, list[float]] = {}
    with run.deployment() as deployment:
        port, counts = deployment.sink()
        declare(deployment)
        people = run.scale.mails
        turns: dict[str, Callable[[], Turn]] = {
            "floor": lambda: floor_turn(deployment, port, counts, people),
            "singles": lambda: _singles(deployment, port, counts, people),
            "bulk": lambda: _bulk(deployment, port, counts, people),
        }
        for number in range(run.scale.rounds):
            for name, turn in turns.items():
                rate, cost = turn()
                rates[name].append(rate)
                for part, value in cost.items():
                    costs.setdefault(f"{name}: {part}", []).append(value)
            run.progress.round(KEY, number, run.scale.rounds, **{name: values[-1] for name, values in rates.items()})
    return Result(
        KEY,
        TITLE,
        (
            Series("parts of 50 ÷ floor", "", ratios(rates["bulk"], rates["floor"]), at_least=0.8),
            Series("single mails ÷ floor", "", ratios(rates["singles"], rates["floor"]), at_least=0.55),
            Series("floor", "mails/s", tuple(rates["floor"])),
            Series("parts of 50", "mails/s", tuple(rates["bulk"])),
            Series("single mails", "mails/s", tuple(rates["singles"])),
        ),
        {name: sum(values) / len(values) for name, values in costs.items()},
    )


Turn = tuple[float, dict[str, float]]
"""Mails a second, and processor µs a mail by process."""


def declare(deployment: Deployment) -> None:
    """Declare the queues, by a gateway that ends again; start what senders need besides."""
    deployment.auth()
    deployment.catalog()
    gateway = deployment.gateway()
    gateway.process.close()


def fill_singles(deployment: Deployment, count: int, content: Content | None = None) -> None:
    """Fill the queues with `count` single mails, and nothing else."""
    deployment.share.purge(SINGLE, BULK, HISTORY)
    url = deployment.share.plain_broker_url
    jobs = (job([f"reader{number}@example.com"], content=content) for number in range(count))
    fill(url, ((key_of(made), made.encode()) for made in jobs))
    wait_until(lambda: count_ready(url, SINGLE) >= count, PATIENCE_S)


def floor_turn(deployment: Deployment, port: int, counts: Counts, count: int, octets: int | None = None) -> Turn:
    """Fill the queue and run the bare consumer until it is empty, with mails of `octets` if given."""
    fill_singles(deployment, count)
    with ExitStack() as stack:
        words = (deployment.share.plain_broker_url, SINGLE, str(port), *([] if octets is None else [str(octets)]))
        counts.reset()
        process = deployment.program("imsg_bench.floors.consumer", *words)
        stack.callback(process.close)
        return drain(deployment, process, counts, count)


def _singles(deployment: Deployment, port: int, counts: Counts, count: int) -> Turn:
    fill_singles(deployment, count)
    return time_sending(deployment, port, counts, count)


def _bulk(deployment: Deployment, port: int, counts: Counts, count: int) -> Turn:
    deployment.share.purge(SINGLE, BULK, HISTORY)
    made = job([f"reader{number}@example.com" for number in range(count)])
    fill(deployment.share.plain_broker_url, [(key_of(made), made.encode())])
    return time_sending(deployment, port, counts, count)


def time_sending(deployment: Deployment, port: int, counts: Counts, count: int) -> Turn:
    """Start a sender and wait until it has sent what waits."""
    sender = deployment.mail_sender(port)
    counts.reset()
    sender.process.start()
    turn = drain(deployment, sender.process, counts, count)
    sender.process.kill()
    return turn


def drain(deployment: Deployment, process: Process, counts: Counts, count: int) -> Turn:
    """Wait until `count` have arrived; return the rate, and each process's cost of a unit."""
    servers = deployment.servers
    wait_until(lambda: counts.count > 0, PATIENCE_S, every_s=0.01)
    before = counts.count
    meter = Meter.begin(sender=process.pid, Valkey=servers.valkey.process.pid, RabbitMQ=servers.broker.process.pid)
    wait_until(lambda: counts.count >= count, PATIENCE_S, every_s=0.02)
    return counts.rate, meter.per_unit_us(count - before)
