"""Messages of one channel on a clock that the test sets, tried and delayed as a sender does.

One of them, the poison, is answered by a script, and all others are accepted whenever they are tried: what a script
provokes must not keep the others waiting.
"""

import heapq
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random

from imsg_contract.results import Result
from imsg_contract.topology import STEPS_S, Lane
from imsg_contract.wire import Status
from imsg_delivery.channel import Terms
from imsg_delivery.claims.records import Free
from imsg_delivery.decide import AttemptTerms, decide
from imsg_delivery.retry_plan import RetryPlan
from imsg_testing.jobs import make_job

WITHIN_S = 60.0
"""How long a message that would be accepted may wait."""

POISON = "poison"
TERMS = Terms(chunk_size=50, call_size=1, concurrency=dict.fromkeys(Lane, 8), uncertain="repeat")


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, for_s: float) -> None:
        """Advance the clock."""
        self.now += for_s


def begin(seed: int) -> tuple[Random, Clock]:
    """Make what a script is drawn by, and the clock of its messages."""
    return Random(seed), Clock()  # noqa: S311  a failure has to be repeated


def draw_arrivals(random: Random, count: int = 41) -> dict[str, float]:
    """Return arrival times with the poison first, or among the others."""
    others = {f"good-{n}": random.uniform(0.0, random.choice((1.0, 60.0, 900.0))) for n in range(count)}
    return others | {POISON: random.choice((0.0, random.uniform(0.0, 60.0)))}


async def play(
    clock: Clock, arrivals: Mapping[str, float], send: Callable[[str], Awaitable[Result]], random: Random, for_s: float
) -> dict[str, tuple[Status, float]]:
    """Try each message when it arrives, and again by the retry steps; return how each settled, and how long it took.

    What has not settled after `for_s` is left out.
    """
    began, at = clock.now, datetime.fromtimestamp(clock.now, UTC)
    jobs = {name: make_job(name, at=at, content="x", expires_at=at + timedelta(days=1)) for name in arrivals}
    due = [(began + after_s, name) for name, after_s in arrivals.items()]
    heapq.heapify(due)
    settled: dict[str, tuple[Status, float]] = {}
    while due and due[0][0] <= began + for_s:
        at_s, name = heapq.heappop(due)
        clock.now = max(clock.now, at_s)
        job = jobs[name]
        result = await send(name)
        terms = AttemptTerms(job, TERMS, STEPS_S, STEPS_S, random.random())
        became = decide(Free(0, clock.now, doubtful=False), result, clock.now, terms)
        if became.step_s is None:
            settled[name] = became.outcome.status, clock.now - began - arrivals[name]
            continue
        plan = RetryPlan(job)
        plan.add_next(job.recipients[0], became.step_s, uses_attempt=became.uses_attempt)
        ((jobs[name], step_s),) = plan.jobs()
        jobs[name] = jobs[name].model_copy(update={"chunk": None})
        heapq.heappush(due, (clock.now + step_s + random.uniform(0.0, 0.5), name))
    return settled


def find_starved(settled: Mapping[str, tuple[Status, float]], arrivals: Mapping[str, float]) -> dict[str, object]:
    """Return the messages beside the poison that were not sent in time, with what became of them."""
    return {
        name: settled.get(name, "waits")
        for name in arrivals
        if name != POISON and not (name in settled and settled[name][0] is Status.SENT and settled[name][1] <= WITHIN_S)
    }
