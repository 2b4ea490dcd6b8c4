"""The further legs of requests: begun where those before have not reached a person, by outcomes and by the time.

What is published is confirmed before the transaction ends. A crash in between publishes a leg again, under its id.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError

from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown, Unreachable
from imsg_contract.topology import OUTCOME, PROGRESS, RESCHEDULE, job_key
from imsg_contract.wire import Job, Outcome, Outcomes, Progress, Recipient, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_delivery.claims.cancelling import ClaimsLostError
from imsg_limits.quota import Quota, Unit
from imsg_limits.windows import PublishedWindows
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_scheduler.cancel_settling import CancelSettler
from imsg_scheduler.cancels import Cancel
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.fallback_rows import NEVER_MS, Fallback, FallbackRows
from imsg_scheduler.people import People
from imsg_scheduler.store import Store
from imsg_scheduler.users import Users
from imsg_web.service_client import ServiceUnavailable

log = logger(__name__)

BATCH = 200
TRIES = 3
"""How often legs are published before SQLite's writer is kept from others while they are."""

LOOK_S = 0.5
"""How late a leg may begin."""

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0

NO_CONTACT = "no_contact"
"""The code of a message to a person who has no address of its leg's method."""

AWAY = (
    DatabaseUnavailable,
    RedisUnavailable,
    RedisRefused,
    PublishRefused,
    PublishUnknown,
    ServiceUnavailable,
    ClaimsLostError,
)


class Settled(NamedTuple):
    """A request as it is to be written, and when there is something to do next."""

    fallback: Fallback
    people: People
    due_ms: int | None


Change = Callable[[Fallback, People], None]
"""Changes the people of a request."""


class Fallbacks:
    """Begins legs, tells history how many people were reached, and gives back what never begins."""

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
        self._turns = asyncio.Lock()

    async def run(self, stopping: asyncio.Event) -> None:
        """Begin legs whose time has come, until `stopping`."""
        problem = RecurringProblem(log, "legs_not_begun")
        while not stopping.is_set():
            try:
                while await self.advance() and not stopping.is_set():
                    pass
            except AWAY as away:
                problem.note(away)
            else:
                problem.clear()
            await asyncio.sleep(LOOK_S)

    async def consume(self, stopping: asyncio.Event) -> None:
        """Take in what became of messages, until `stopping`; what is not acknowledged by then is delivered again."""
        async with self._broker.consume(self._broker.topology.legs, BATCH) as deliveries:
            while not stopping.is_set() and (batch := await deliveries.receive_batch(BATCH)):
                await self._note_until_done(batch)

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
            if leaving:  # kept first, so that what the cancel is told of ends nobody
                await rows.fallbacks.write(fallback, people, now_ms)
                await rows.add_cancels(cancels := _cancel(fallback, leaving, now_ms))
        if leaving:
            await self._settler.settle(cancels)
        await self._change(fallback.request, lambda _, people: people.let_on([n for _, n in leaving]))
        return True

    async def note(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what became of messages. Raises any of `AWAY`."""
        by_leg: defaultdict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by_leg[outcome.request].append(outcome)
        async with self._store.reading() as rows:
            requests = await rows.fallbacks.find_requests(by_leg.keys())
        legs_of: defaultdict[str, list[str]] = defaultdict(list)
        for leg, request in requests.items():
            legs_of[request].append(leg)
        for request in sorted(legs_of):
            found = {leg: by_leg[leg] for leg in legs_of[request]}
            await self._change(request, partial(_note, found=found))

    async def _change(self, request: str, change: Change) -> None:
        """Change the people of a request, begin what is to begin, and write it."""
        if not self._store.is_postgres and await self._change_apart(request, change):
            return
        async with self._store.writing() as rows:
            if (fallback := await rows.fallbacks.lock(request)) is not None:
                await _write(rows.fallbacks, await self._settle(fallback, change))

    async def _change_apart(self, request: str, change: Change) -> bool:
        """Change people while SQLite's one writer does not wait for the broker; return whether it is done.

        What others change meanwhile is judged again; a leg may be published twice then, under its id.
        """
        async with self._turns:
            for _ in range(TRIES):
                async with self._store.reading() as rows:
                    fallback = await rows.fallbacks.lock(request)
                if fallback is None:
                    return True
                settled = await self._settle(fallback, change)
                async with self._store.writing() as rows:
                    if await rows.fallbacks.lock(request) == fallback:
                        await _write(rows.fallbacks, settled)
                        return True
        return False

    async def _settle(self, fallback: Fallback, change: Change) -> Settled:
        """Change the people, begin what is to begin, and return what is to be written."""
        people, now_ms = fallback.read_people(), await self._clock.read_ms()
        before, counts = people.list_ended(), people.counts
        change(fallback, people)
        people.end_stopped()
        now = datetime.fromtimestamp(now_ms / 1_000, UTC)
        if now_ms >= fallback.ends_ms:
            people.end()
        opens_ms = None
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
            for begun in _begin(fallback, leg, frozenset(waiting), now):
                route = self._broker.topology.new(job_key(begun.method, begun.lane))
                await self._broker.publish(begun.encode(), route)
            people.release(leg, waiting, now_ms)
            log.info("leg_begun", request=fallback.request, leg=leg + 1, people=len(waiting))
        await self._tell_passed(fallback, people, now)
        await self._give_back(fallback, people, people.list_ended() - before)
        if people.counts != counts:
            progress = Progress(request=fallback.request, at=now, **people.counts._asdict())
            await self._broker.publish(progress.encode(), self._broker.topology.new(PROGRESS))
        dues = [due for due in (people.find_due_ms(), opens_ms) if due is not None]
        return Settled(fallback, people, min(dues, default=None))

    async def _tell_passed(self, fallback: Fallback, people: People, now: datetime) -> None:
        """Tell history for whom legs were passed by, since they have no address of its method."""
        to = {one.n: one.to for one in fallback.job.recipients}
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

    async def _give_back(self, fallback: Fallback, people: People, ended: set[int]) -> None:
        for leg in range(1, len(fallback.jobs)):
            job = fallback.jobs[leg]
            if job.charge is None:
                continue
            count = len(job.recipients)
            segments = max((units for name, units in job.charge.own.items() if name.startswith("s")), default=0)
            segments = max((segments, *(units for name, units in job.charge.of_all.items() if name.startswith("s"))))
            unsent: dict[Unit, int] = {"recipients": 1, "segments": segments // max(1, count)}
            for n in sorted(ended.intersection(people.list_unused(leg))):
                await self._quota.give_back(job.charge, job.request, str(n), unsent)

    async def _note_until_done(self, batch: Sequence[Delivery]) -> None:
        failures, problem = 0, RecurringProblem(log, "outcomes_of_legs_not_taken")
        while batch := [delivery for delivery in batch if delivery.held]:
            try:
                await self.note([outcome for delivery in batch for outcome in _read(delivery)])
            except AWAY as away:
                failures += 1
                problem.note(away, waiting=len(batch))
                draw = random.random()  # noqa: S311  jitter
                await asyncio.sleep(back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S))
                continue
            problem.clear()
            for delivery in batch:
                with suppress(Unreachable):  # delivered again, and it changes nothing
                    await self._broker.ack(delivery)
            return


async def _write(rows: FallbackRows, settled: Settled) -> None:
    if settled.people.counts.open:
        await rows.write(*settled)
    else:
        await rows.remove(settled.fallback.request)


def _note(fallback: Fallback, people: People, found: Mapping[str, Sequence[Outcome]]) -> None:
    """Take in what became of messages, of each leg in the order of legs."""
    for place, job in enumerate(fallback.jobs):
        for outcome in found.get(job.request, ()):
            people.note(place, outcome.n, outcome.status)


def _begin(fallback: Fallback, leg: int, waiting: frozenset[int], now: datetime) -> Iterator[Job]:
    """Yield the jobs of a leg as its channel gets them: each person is a chunk, since they begin at different times."""
    job, lifetime_s = fallback.jobs[leg], fallback.job.fallback[leg - 1].lifetime_s
    # An outcome may come before the job that begins the first leg.
    ends_at = datetime.fromtimestamp(fallback.ends_ms / 1_000, UTC) if fallback.ends_ms < NEVER_MS else job.expires_at
    times = {"released_at": now, "expires_at": ends_at if lifetime_s is None else now + timedelta(seconds=lifetime_s)}
    for one in job.recipients:
        if one.n in waiting:
            yield job.model_copy(update={"recipients": (one,), "chunk": one.n, **times})


def _cancel(fallback: Fallback, leaving: Sequence[tuple[int, int]], now_ms: int) -> list[Cancel]:
    """Make the cancels of messages that are left; the request itself goes on, and is not given back."""
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
        mine = tuple(one for one in job.recipients if one.n == n)
        part = job.model_copy(update={"recipients": mine, "charge": charge})
        if mine:
            cancels.append(Cancel.of(part, n, now, total=1, totals=None))
    return cancels


def _read(delivery: Delivery) -> Sequence[Outcome]:
    try:
        return Outcomes.model_validate_json(delivery.body).outcomes
    except ValidationError:
        log.exception("unreadable", queue=delivery.queue)
        return ()
