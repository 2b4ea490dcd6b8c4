"""Accepted requests a second while everything runs: senders and history take what the gateway accepts.

Timed as in A, with sender-smtp (16 connections to a mail server that takes everything) and history on PostgreSQL
running all the time, on the same cores.
Floor: A's floor with equal consumers: it publishes whole Jobs, each under an id of its own, to the same queues, from
which the same sender and the same history take them.
Between two turns the queues are emptied, and what is in flight ends.
"""

from imsg_bench.figures import ratios
from imsg_bench.measure import Run
from imsg_bench.measures.accept import QUEUES, Contender, start_floor
from imsg_bench.result import Result, Series

KEY = "A'"
TITLE = "Accepted requests, everything running"


def measure(run: Run) -> Result:
    """Measure A'."""
    with run.deployment() as deployment:
        deployment.auth()
        history = deployment.history()
        deployment.catalog()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        floor_url, floor = start_floor(deployment)
        body = deployment.bodies()
        beside = {"sender": sender.process.pid, "history": history.process.pid}
        contenders = [
            Contender(deployment, "floor", floor_url, body, floor, queues=QUEUES, beside=beside),
            Contender(deployment, "iMSG", gateway.url, body, gateway.process, queues=QUEUES, beside=beside),
        ]
        delivered: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for number in range(run.scale.rounds):
            rates = {}
            for contender in contenders:
                counts.reset()
                rates[contender.name] = contender.turn(run).rate
                delivered[contender.name].append(counts.rate)
            rates["ratio"] = rates["iMSG"] / rates["floor"]
            run.progress.round(KEY, number, run.scale.rounds, **rates)
    floor_rates, rates_of_ours = (tuple(contender.rates) for contender in contenders)
    series = (
        Series("iMSG ÷ floor", "", ratios(rates_of_ours, floor_rates), at_least=0.7),
        Series("floor, accepted", "1/s", floor_rates),
        Series("iMSG, accepted", "1/s", rates_of_ours),
        *(Series(f"delivered beside {name}", "1/s", tuple(values)) for name, values in delivered.items()),
    )
    costs = {
        f"{contender.name}: {part}": sum(values) / len(values)
        for contender in contenders
        for part, values in contender.costs.items()
    }
    return Result(KEY, TITLE, series, costs)
