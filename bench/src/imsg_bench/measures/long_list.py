"""One request of 10,000 recipients: how soon it is accepted, and how soon the last mail is with the server.

Timed: from the first byte of the POST to its answer, and from the POST to the last mail at the mail server, whose
clock is the same. Gateway and sender run, history is stopped, as in C.
Measured against C: the sender can't be faster than its own rate from a filled queue, so the last mail may take 1.2 ×
10,000 ÷ C's rate in parts of 50, of this run; where C was not measured, the list's own rate from first to last stands
in for it.
"""

import time

import httpx

from imsg_bench.costs import Meter
from imsg_bench.filling import wait_until
from imsg_bench.measure import Run
from imsg_bench.measures.mails import BULK, HISTORY, PATIENCE_S, SINGLE
from imsg_bench.result import Result, Series

KEY = "D"
TITLE = "One request of 10,000 recipients"


def measure(run: Run) -> Result:
    """Measure D."""
    accepted: list[float] = []
    delivered: list[float] = []
    rates: list[float] = []
    costs: dict[str, list[float]] = {}
    people = run.scale.people
    with run.deployment() as deployment:
        deployment.auth()
        deployment.catalog()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        body = deployment.body([f"reader{number}@example.com" for number in range(people)], "list.json").read_bytes()
        for number in range(run.scale.rounds):
            deployment.share.purge(SINGLE, BULK, HISTORY)
            counts.reset()
            meter = Meter.begin(gateway=gateway.process.pid, sender=sender.process.pid)
            begun = time.monotonic()
            answer = httpx.post(f"{gateway.url}/api/v2/messages", content=body, timeout=60).json()
            accepted.append(time.monotonic() - begun)
            assert answer["count"] == people, answer  # noqa: S101  a refusal is no measurement
            wait_until(lambda: counts.count >= people, PATIENCE_S, every_s=0.02)
            delivered.append(counts.read()[2] - begun)
            rates.append(counts.rate)
            for name, cost in meter.per_unit_us(people).items():
                costs.setdefault(name, []).append(cost)
            figures = {"accepted_s": accepted[-1], "delivered_s": delivered[-1]}
            run.progress.round(KEY, number, run.scale.rounds, **figures)
    rate = run.results["C"].find("parts of 50").middle if "C" in run.results else sum(rates) / len(rates)
    allowed = people / rate
    return Result(
        KEY,
        TITLE,
        (
            Series("accepted after", "s", tuple(accepted), at_most=0.5),
            Series(
                "last delivered ÷ (10,000 ÷ C)", "", tuple(duration / allowed for duration in delivered), at_most=1.2
            ),
            Series("last delivered after", "s", tuple(delivered)),
            Series("from first to last", "mails/s", tuple(rates)),
        ),
        {name: sum(values) / len(values) for name, values in costs.items()},
    )
