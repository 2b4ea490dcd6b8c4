"""Single mails to a mail server 30 ms away, over 16 connections: what a round trip saved is worth.

Timed as C's single mails: the queue is filled while the sender is stopped; it starts, and the mail server's own clock
counts from the first mail to the last. Between sender and server stands a proxy of ours on the loopback (`far.py`)
that holds every byte for 15 ms, each way.
Floor: C's, a bare consumer with 16 plain aiosmtplib connections that stay open, through the same proxy: MAIL, RCPT,
DATA and the mail, each waiting for its answer.
Two sizes, 1 KB and 100 KB on the wire. The larger mail travels in its Job, so that history is not needed; the proxy
has no window that grows, so that its octets cost no further round trips on either side.
"""

from imsg_bench.deployment import CONTENT
from imsg_bench.figures import ratios
from imsg_bench.measure import Run
from imsg_bench.measures.mails import declare, fill_singles, floor_turn, time_sending
from imsg_bench.result import Result, Series
from imsg_contract.wire import Content

KEY = "K"
TITLE = "A mail server 30 ms away"

ONE_WAY_S = 0.015
SIZES = {"1 KB": 1_000, "100 KB": 100_000}
"""Octets of a mail on the wire."""

ROUNDS = 3
"""At most: a mail takes its round trips, which no noise of the machine changes much."""

GOALS = {"1 KB": 1.7}

HEAD_OCTETS = 400
"""The header lines of a mail as the sender renders it."""

BASE64 = 4 / 3 * 78 / 76
"""What an octet of text takes on the wire: four for three, in lines of 76."""


def measure(run: Run) -> Result:
    """Measure K."""
    rates: dict[str, dict[str, list[float]]] = {size: {"floor": [], "iMSG": []} for size in SIZES}
    costs: dict[str, list[float]] = {}
    count, rounds = run.scale.far, min(run.scale.rounds, ROUNDS)
    with run.deployment() as deployment:
        near, counts = deployment.sink()
        port = deployment.far(near, ONE_WAY_S)
        declare(deployment)
        for number in range(rounds):
            figures: dict[str, float] = {}
            for size, octets in SIZES.items():
                floor, floor_cost = floor_turn(deployment, port, counts, count, octets)
                fill_singles(deployment, count, content(octets))
                ours, our_cost = time_sending(deployment, port, counts, count)
                rates[size]["floor"].append(floor)
                rates[size]["iMSG"].append(ours)
                for side, cost in (("floor", floor_cost), ("iMSG", our_cost)):
                    for part, value in cost.items():
                        costs.setdefault(f"{size}, {side}: {part}", []).append(value)
                figures |= {f"{size}, ratio": ours / floor, f"{size}, floor": floor}
            run.progress.round(KEY, number, rounds, **figures)
    series = [
        Series(f"{size}, iMSG ÷ floor", "", ratios(sides["iMSG"], sides["floor"]), at_least=GOALS.get(size))
        for size, sides in rates.items()
    ]
    series += [
        Series(f"{size}, {side}", "mails/s", tuple(values))
        for size, sides in rates.items()
        for side, values in sides.items()
    ]
    return Result(KEY, TITLE, tuple(series), {name: sum(values) / len(values) for name, values in costs.items()})


def content(octets: int) -> Content:
    """Return the content of a mail that has about so many octets on the wire."""
    line = f"{CONTENT['text']}\n"
    wanted = max(1, round((octets - HEAD_OCTETS) / BASE64))
    text = (line * (wanted // len(line.encode()) + 1)).encode()[:wanted].decode(errors="ignore")
    return {"subject": CONTENT["subject"], "text": text}
