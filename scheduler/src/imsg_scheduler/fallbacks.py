"""Begins the further legs of requests for people whom earlier legs have not reached, by outcomes and by the time.

A publish is recorded before it happens, so that a cancel asks the claims. After a crash in between the leg is published
again, under the same id. No transaction waits for the broker.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError

from imsg_broker.batches import acknowledge, process_until_done
from imsg_broker.port import Broker, Delivery
from imsg_contract.topology import OUTCOME, PROGRESS, RESCHEDULE, job_key
from imsg_contract.wire import Job, Outcome, Outcomes, Progress, Recipient, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.quota import Quota, Unit
from imsg_limits.windows import PublishedWindows
from imsg_runtime.logs import RecurringProblem, logger
from imsg_scheduler.cancel_settling import AWAY, CancelSettler
from imsg_scheduler.cancels import Cancel
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.fallback_rows import NEVER_MS, Fallback
from imsg_scheduler.people import People
from imsg_scheduler.store import Store
from imsg_scheduler.users import Users

log = logger(__name__)

BATCH = 200
TRIES = 10
"""How often the people of a request are decided again because another process changed them meanwhile."""

POLL_S = 0.5
"""How late a leg may begin."""

BUSY_POLL_MS = 1_000
"""The time between checks whether a worker is still sending a message of the leg that is left.

The wait lasts as long as the worker has its lease, however slow the provider is: the message may still arrive.
"""

NO_CONTACT = "no_contact"
"""The code of a message to a person who has no address of its leg's method."""


class LegDecision(NamedTuple):
    """The decision about the legs of a request, to be stored and then published."""

    people: People
    opens_ms: int | None
    """When the window of a held leg opens."""
    legs: Mapping[int, Sequence[int]]
    """Which legs begin, and for whom."""
    now_ms: int

    def find_due_ms(self, people: People) -> int | None:
        """Return when there is something to do next for people."""
        busy_ms = self.now_ms + BUSY_POLL_MS if people.list_leaving() else None
        return min((due for due in (people.find_due_ms(), self.opens_ms, busy_ms) if due is not None), default=None)


Change = Callable[[Fallback, People], None]
"""Changes the people of a request."""


class Fallbacks:
    """Begins legs, publishes how many people were reached, and refunds legs that never begin."""

    def __init__(
        self,
        broker: Broker,
        store: Store,
        users: Users,
        clock: RedisClock,
        *,
        windows: PublishedWindows,
        quota: Quota,
        settler: CancelSettler,
    ) -> None:
        self._settler = settler
        self._broker = broker
        self._clock = clock
        self._store = store
        self._users = users
        self._windows = windows
        self._quota = quota

    async def run(self, stopping: asyncio.Event) -> None:
        """Begin legs whose time has come, until `stopping`."""
        problem = RecurringProblem(log, "legs_not_begun")
        while not stopping.is_set():
            with problem.catch(*AWAY):
                while await self.advance() and not stopping.is_set():
                    pass
            await asyncio.sleep(POLL_S)

    async def consume(self, stopping: asyncio.Event) -> None:
        """Process the outcomes of legs until `stopping`; what is not acknowledged by then is delivered again."""
        problem = RecurringProblem(log, "outcomes_of_legs_not_processed")
        async with self._broker.consume(self._broker.topology.legs, BATCH) as deliveries:
            while not stopping.is_set() and (batch := await deliveries.receive_batch(BATCH)):
                await process_until_done(batch, self._process_batch, AWAY, problem)

    async def advance(self) -> bool:
        """Do what is due for one request; return whether there was any. Raises any of `AWAY`."""
        now_ms = await self._clock.read_ms()
        async with self._store.writing() as rows:
            fallback = await rows.fallbacks.lock_due(now_ms)
            if fallback is None:
                return False
            people = fallback.read_people()
            people.advance(now_ms)
            leaving = people.list_leaving()
            if leaving:  # stored first: the outcomes of the cancels then concern a leg that is left
                await rows.fallbacks.write(fallback, people, now_ms)
                await rows.add_cancels(cancels := _cancel(fallback, leaving, now_ms))
        busy = set[int]()
        if leaving:
            settled = await self._settler.settle(cancels, busy_s=0)
            late = [
                cancel
                for cancel, result in zip(cancels, settled, strict=True)
                if result.totals and result.totals.too_late
            ]
            busy = await self._settler.find_busy(late)
        await self._change(
            fallback.request, lambda _, people: people.begin_next([n for _, n in leaving if n not in busy])
        )
        return True

    async def process_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Process the outcomes of legs. Raises any of `AWAY`."""
        by_leg: defaultdict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by_leg[outcome.request].append(outcome)
        async with self._store.reading() as rows:
            requests = await rows.fallbacks.find_requests(by_leg.keys())
        legs_of: defaultdict[str, list[str]] = defaultdict(list)
        for leg, request in requests.items():
            legs_of[request].append(leg)
        for request in sorted(legs_of):
            outcomes_of_leg = {leg: by_leg[leg] for leg in legs_of[request]}
            await self._change(request, partial(_record_outcomes, outcomes_of_leg=outcomes_of_leg))

    async def _change(self, request: str, change: Change) -> None:
        """Change the people of a request, and begin what is to begin."""
        for _ in range(TRIES):
            async with self._store.reading() as rows:
                fallback = await rows.fallbacks.find(request)
            if fallback is None:
                return
            decision = await self._decide_legs(fallback, change)
            async with self._store.writing() as rows:
                if await rows.fallbacks.lock(request) != fallback:
                    continue
                if not decision.people.counts.open:
                    await rows.fallbacks.remove(request)
                    return
                await rows.fallbacks.write(fallback, decision.people, decision.find_due_ms(decision.people))
            if decision.legs:
                await self._publish(fallback, decision)
            return
        raise DatabaseUnavailable("others changed the request each time")

    async def _decide_legs(self, fallback: Fallback, change: Change) -> LegDecision:
        """Change the people, mark the legs to begin, publish the counts, and refund legs that never begin."""
        people, now_ms = fallback.read_people(), await self._clock.read_ms()
        before, counts = people.list_ended(), people.counts
        change(fallback, people)
        people.end_stopped()
        people.end_cancelled()
        people.repeat(now_ms)
        now = datetime.fromtimestamp(now_ms / 1_000, UTC)
        if now_ms >= fallback.ends_ms:
            people.end()
        opens_ms, legs = None, dict[int, Sequence[int]]()
        for leg in range(1, len(fallback.jobs)):
            if not (waiting := people.list_waiting(leg)):
                continue
            job = fallback.jobs[leg]
            if not await self._users.may_send(job):
                people.end()
                break
            hold = (await self._windows.fetch()).find_hold(job.method, job.category, now)
            if hold is not None:
                opens_ms = min(opens_ms or hold.until_ms, hold.until_ms)
                continue
            people.mark(leg, waiting, now_ms)
            legs[leg] = waiting
        await self._tell_passed(fallback, people, now)
        await self._refund_unused(fallback, people, people.list_ended() - before)
        if people.counts != counts:
            progress = Progress(request=fallback.request, at=now, **people.counts._asdict())
            await self._broker.publish(progress.encode(), self._broker.topology.new(PROGRESS))
        return LegDecision(people, opens_ms, legs, now_ms)

    async def _publish(self, fallback: Fallback, decision: LegDecision) -> None:
        """Publish the legs that begin, and note that they have."""
        now = datetime.fromtimestamp(decision.now_ms / 1_000, UTC)
        for leg, waiting in decision.legs.items():
            jobs = list(_begin(fallback, leg, frozenset(waiting), now))
            for at in range(0, len(jobs), BATCH):
                routes = [
                    (job, self._broker.topology.new(job_key(job.method, job.lane))) for job in jobs[at : at + BATCH]
                ]
                await asyncio.gather(*(self._broker.publish(job.encode(), route) for job, route in routes))
            log.info("leg_begun", request=fallback.request, leg=leg + 1, people=len(waiting))
        async with self._store.writing() as rows:
            current = await rows.fallbacks.lock(fallback.request)
            if current is None:
                return
            people = current.read_people()
            for leg, waiting in decision.legs.items():
                people.release(leg, waiting, decision.now_ms)
            dues = (decision.find_due_ms(people), current.due_ms)
            await rows.fallbacks.write(current, people, min(due for due in dues if due is not None))

    async def _tell_passed(self, fallback: Fallback, people: People, now: datetime) -> None:
        """Report to history the people whose legs were skipped, since they have no address of the method."""
        to = {recipient.n: recipient.to for recipient in fallback.job.recipients}
        for leg in range(1, len(fallback.jobs)):
            passed = [n for at, n in people.passed if at == leg and n in to]
            if not passed:
                continue
            job = fallback.jobs[leg]
            recipients = tuple(Recipient(n=n, to=to[n], address="") for n in passed)
            shown = job.model_copy(update={"recipients": recipients})
            outcome = {"request": job.request, "attempt": 0, "status": Status.FAILED, "code": NO_CONTACT, "at": now}
            detail = "There is no address of this method for the person."
            outcomes = Outcomes(outcomes=tuple(Outcome(n=n, detail=detail, **outcome) for n in passed))
            await self._broker.publish(shown.encode(), self._broker.topology.new(RESCHEDULE))
            await self._broker.publish(outcomes.encode(), self._broker.topology.new(OUTCOME))

    async def _refund_unused(self, fallback: Fallback, people: People, ended: set[int]) -> None:
        for leg in range(1, len(fallback.jobs)):
            job = fallback.jobs[leg]
            if job.charge is None:
                continue
            count = len(job.recipients)
            segments = max((units for name, units in job.charge.own.items() if name.startswith("s")), default=0)
            segments = max((segments, *(units for name, units in job.charge.of_all.items() if name.startswith("s"))))
            unsent: dict[Unit, int] = {"recipients": 1, "segments": segments // max(1, count)}
            for n in sorted(ended.intersection(people.list_unused(leg))):
                await self._quota.refund_part(job.charge, job.request, str(n), unsent)

    async def _process_batch(self, batch: Sequence[Delivery]) -> None:
        await self.process_outcomes([outcome for delivery in batch for outcome in _read(delivery)])
        await acknowledge(self._broker, batch)


def _record_outcomes(fallback: Fallback, people: People, outcomes_of_leg: Mapping[str, Sequence[Outcome]]) -> None:
    """Record the outcomes of messages, leg by leg in their order."""
    for place, job in enumerate(fallback.jobs):
        for outcome in outcomes_of_leg.get(job.request, ()):
            people.record_outcome(place, outcome.n, outcome.status)


def _begin(fallback: Fallback, leg: int, waiting: frozenset[int], now: datetime) -> Iterator[Job]:
    """Yield the jobs of a leg as its channel gets them: each person is a chunk, since they begin at different times."""
    job, lifetime_s = fallback.jobs[leg], fallback.job.fallback[leg - 1].lifetime_s
    # An outcome may come before the job that begins the first leg.
    ends_at = datetime.fromtimestamp(fallback.ends_ms / 1_000, UTC) if fallback.ends_ms < NEVER_MS else job.expires_at
    times = {"released_at": now, "expires_at": ends_at if lifetime_s is None else now + timedelta(seconds=lifetime_s)}
    for recipient in job.recipients:
        if recipient.n in waiting:
            yield job.model_copy(update={"recipients": (recipient,), "chunk": recipient.n, **times})


def _cancel(fallback: Fallback, leaving: Sequence[tuple[int, int]], now_ms: int) -> list[Cancel]:
    """Make the cancels of messages that are left; the request itself goes on, and is not refunded."""
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    cancels = []
    for leg, n in leaving:
        job = fallback.jobs[leg].model_copy(update={"fallback": ()})
        charge = job.charge
        if charge is not None:
            own, of_all = (
                {field: units for field, units in fields.items() if not field.startswith("q")}
                for fields in (charge.own, charge.of_all)
            )
            charge = charge.model_copy(update={"own": own, "of_all": of_all})
        recipients = tuple(recipient for recipient in job.recipients if recipient.n == n)
        part = job.model_copy(update={"recipients": recipients, "charge": charge})
        if recipients:
            cancels.append(Cancel.of(part, n, now, total=1, totals=None))
    return cancels


def _read(delivery: Delivery) -> Sequence[Outcome]:
    try:
        return Outcomes.model_validate_json(delivery.body).outcomes
    except ValidationError:
        log.exception("unreadable", queue=delivery.queue)
        return ()
