"""SMS a second, the provider answering every call after 50 ms: single messages, and lists.

Timed: the queue is filled while the sender is stopped; it starts, and the provider's own clock counts from the first
answer to the last. The provider is ours (`stub.py`): a real HTTP server that reads every call and answers it 50 ms
later. Limit of singles: 64 calls in flight, each 50 ms: 1,280 a second, whatever the processor does.
Lists: a call carries 1,000 numbers; the figure is recipients a second.
History is stopped; limits, claims and outcomes are as in production.
Processor: what the sender's process uses for a single SMS, by what C's floor, the bare consumer, uses for a mail in
this run; where C was not measured in it, a turn of its floor comes first.
"""

from collections.abc import Iterable

from imsg_bench.counts import Counts
from imsg_bench.deployment import Deployment
from imsg_bench.filling import count_ready, fill, job, key_of, wait_until
from imsg_bench.measure import Run
from imsg_bench.measures.mails import HISTORY, PATIENCE_S, Turn, declare, drain, floor_turn
from imsg_bench.result import Result, Series
from imsg_bench.stub import ANSWER_AFTER_S
from imsg_contract.wire import Job

KEY = "E"
TITLE = "SMS, the provider answering in 50 ms"

IN_FLIGHT = 64
LIMIT = IN_FLIGHT / ANSWER_AFTER_S
SINGLE, BULK = "imsg.sms.normal", "imsg.sms.bulk"
LIST = 10_000
LISTS = 6
TEXT = "您的订单已发货"


def measure(run: Run) -> Result:
    """Measure E."""
    singles: list[float] = []
    lists: list[float] = []
    costs: dict[str, list[float]] = {}
    with run.deployment() as deployment:
        port, counts = deployment.stub()
        declare(deployment)
        for number in range(run.scale.rounds):
            jobs = [job([phone(text)], "sms", TEXT) for text in range(run.scale.texts)]
            rate, cost = _time_sending(deployment, port, counts, jobs)
            singles.append(rate)
            long_lists = [job([phone(text) for text in range(LIST)], "sms", TEXT) for _ in range(LISTS)]
            list_rate, list_cost = _time_sending(deployment, port, counts, long_lists)
            lists.append(list_rate)
            for kind, costs_by_part in (("single", cost), ("list", list_cost)):
                for part, value in costs_by_part.items():
                    costs.setdefault(f"{kind}: {part}", []).append(value)
            run.progress.round(KEY, number, run.scale.rounds, singles=rate, recipients_of_lists=list_rate)
        floor = _floor(run, deployment)
    used = costs["single: sender"]
    return Result(
        KEY,
        TITLE,
        (
            Series("singles ÷ limit", "", tuple(rate / LIMIT for rate in singles), at_least=0.75),
            Series("singles, sender's processor ÷ C's floor", "", tuple(cost / floor for cost in used), at_most=3),
            Series("lists", "recipients/s", tuple(lists), at_least=20_000),
            Series("singles", "SMS/s", tuple(singles)),
        ),
        {name: sum(values) / len(values) for name, values in costs.items()},
    )


def _floor(run: Run, deployment: Deployment) -> float:
    """Return what C's bare consumer uses for a mail, in µs."""
    if "C" in run.results:
        return run.results["C"].costs["floor: sender"]
    port, counts = deployment.sink()
    return floor_turn(deployment, port, counts, run.scale.mails)[1]["sender"]


def phone(number: int) -> str:
    """Make a phone number of mainland China, in its normal form."""
    return f"+86138{number:08d}"


def _time_sending(deployment: Deployment, port: int, counts: Counts, jobs: Iterable[Job]) -> Turn:
    deployment.share.purge(SINGLE, BULK, HISTORY)
    url = deployment.share.plain_broker_url
    people = 0
    bodies = []
    for accepted in jobs:
        people += len(accepted.recipients)
        bodies.append((key_of(accepted), accepted.encode()))
    fill(url, bodies)
    wait_until(lambda: count_ready(url, SINGLE, BULK) >= len(bodies), PATIENCE_S)
    account = {
        "ENDPOINT": f"http://127.0.0.1:{port}",
        "ACCESS_KEY_ID": "LTAI-bench",
        "ACCESS_KEY_SECRET": "a secret",
        "SIGN_NAME": "天存",
        "TEMPLATE": "SMS_100000001",
    }
    sender = deployment.service(
        "imsg_sms", {f"IMSG_SMS__ACCOUNTS__ALIYUN__{name}": value for name, value in account.items()}
    )
    counts.reset()
    sender.process.start()
    turn = drain(deployment, sender.process, counts, people)
    sender.process.kill()
    return turn
