"""One delivery of one chunk: the records of its recipients, and the steps from claim to ack.

`decide` makes the decisions; this module calls Redis, the channel and the broker. It sends a single message itself; for
other chunks `chunk_workflow` orders the same steps.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from imsg_broker.port import Broker, Delivery, Unreachable
from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.templates import is_template
from imsg_contract.wire import Job, Outcome, Recipient, Status
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.claims.records import Busy, Claimed, Delayed, Free, Lapsed, Record, Settled, Transition
from imsg_delivery.claims.settled import SettledChunk
from imsg_delivery.claims.store import BeginReply, ChunkRecord
from imsg_delivery.decide import CAPS_UNKNOWN, AttemptTerms, decide, decide_before_call, decide_capped
from imsg_delivery.delays import FIRST_WAIT_S, MAX_WAIT_S
from imsg_delivery.disposition import Requeue
from imsg_delivery.lane_context import LaneContext
from imsg_delivery.retry_plan import RetryPlan, plan_retries
from imsg_delivery.slots import Slot
from imsg_people.lookups import RecipientLookup
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable

log = logger(__name__)

PATIENCE_S = 5.0
"""How long a delivery waits for Redis before it is requeued with nothing more sent."""

WRITE_PATIENCE_S = 600.0
"""How long a result is held until Redis is available again: losing it would cause a duplicate."""

LAST_WORDS_S = 2.0
"""How long a cancelled delivery may take to write that it ended in good order."""

BEHIND_S = 1.0
"""By how much a message's own wait must exceed the outage's for the message to be delayed instead of waiting here."""

BUG = "bug"
"""The code of a result for a channel that raised."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Start:
    """How a delivery was begun."""

    begun: BeginReply | None = None
    lookup: RecipientLookup | None = None
    """The lookup of erased and suppressed recipients of the chunk."""
    ahead_s: float = 0.0
    """How far Redis' clock is ahead of the worker's: all decisions use Redis' clock."""


FRESH = BeginReply(now_s=0.0, answer="go", broken=0, by=(), known=False, records={})
"""The begin of a single message that was claimed in the same step: it has no start to remove."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of a recipient in this delivery."""

    record: Record
    """The last record from the claims."""
    is_claiming: bool = False
    """A claim was requested without a reply so far: this worker may hold it."""
    broke: bool = False
    """The channel raised over it: its next copy counts as suspected."""
    lapsed_owner: str = ""
    """The owner whose claim of it expired."""


async def ack(broker: Broker, delivery: Delivery) -> None:
    """Acknowledge a delivery. One that was requeued meanwhile is delivered again, and finds all settled."""
    try:
        await broker.ack(delivery)
    except Unreachable as error:
        log.info("ack_too_late", queue=delivery.queue, why=str(error))


class ChunkDelivery(Generic[Prepared]):
    """One delivery of one chunk."""

    def __init__(self, lane: LaneContext[Prepared], job: Job, delivery: Delivery, owner: str) -> None:
        self.lane = lane
        self.job = self._original_job = job
        self.delivery = delivery
        self._channel: Channel[Any] = lane.templates if is_template(job.content) else lane.channel
        self.recipients: Mapping[int, Recipient] = {recipient.n: recipient for recipient in job.recipients}
        is_whole = job.chunk is None or len(job.recipients) == lane.channel.terms.chunk_size
        self.chunk = ChunkRecord(job, owner, is_whole=is_whole)
        self.terms = AttemptTerms(job, lane.channel.terms, lane.steps_s, lane.waits_s, lane.random.random())
        self.start = Start()
        self.states: dict[int, State] = {}
        self.is_plain = (
            len(job.recipients) == 1
            and not (job.fencing_token or job.status_query or job.attachments or delivery.redelivered)
            and job.content_at is None
        )
        """It is one message that may be claimed at once: it is new as far as is known, its content in the job."""
        self.is_forced = job.provider is not None
        self.is_closed = False
        """The end of the delivery is written."""
        self._is_sure = False
        """All that is known of the chunk is that its one message was sent."""

    # Single messages

    async def send_at_once(self) -> bool:
        """Claim, send, record and settle a single message; False where the claims know it already.

        A claim is made within a slot, and the next claim in that slot is written after our record, on the same
        connection: so no more messages are in doubt than there are slots.
        """
        n = self.job.recipients[0].n
        async with Slot(self.lane, is_forced=self.is_forced):
            if not self.may_begin():
                raise Requeue("interrupted")
            claimed = await self._begin_and_claim(n)
            transitions = await self._send(claimed) if isinstance(claimed, Free) else []
        if claimed is None:
            return False
        if isinstance(claimed, Settled):
            self.update({n: claimed})
            self.is_closed = True
        else:
            await self.record(transitions)
            record, outcome = self.states[n].record, transitions[0].outcome
            is_ours = isinstance(record, Settled) and record.outcome is outcome
            self._is_sure = is_ours and outcome.status is Status.SENT and self.chunk.is_whole
        await self.settle(FRESH)
        return True

    async def _send(self, claimed: Free) -> list[Transition]:
        if held := self.decide_before_call([claimed]):
            return list(held.values())
        prepared = await self.prepare([claimed.n])
        self.update({claimed.n: claimed})
        if isinstance(prepared, Again | Blocked | Refused):
            self.count(prepared)
            return [decide(claimed, prepared, self.now_s(), self.terms)]
        return await self.call(prepared, [claimed])

    async def _begin_and_claim(self, n: int) -> Free | Settled | None:
        lookup = await self.lane.lookups.prepare(self.job)
        # Until it is answered, and while it is prepared, it may be ours and is certainly not sent.
        self.start, self.states = Start(FRESH, lookup), {n: State(Free(n, 0.0, doubtful=False), is_claiming=True)}
        step = partial(self.lane.claims.begin_and_claim, self.chunk, n, lookup)
        claimed = await self.persist(step, PATIENCE_S, self.may_begin)
        if claimed is None:
            self.start, self.states = Start(), {}
        elif isinstance(claimed, Free):
            self.start = Start(FRESH, lookup, claimed.first_s - self.lane.clock())
        return claimed

    # Claim

    async def begin(self, *, alone: bool) -> BeginReply:
        """Begin, and go by Redis' clock from here. Raises Requeue."""
        lookup = await self.lane.lookups.prepare(self.job)
        begin = partial(self.lane.claims.begin, self.chunk, list(self.recipients), alone=alone, lookup=lookup)
        begun = await self.persist(begin, PATIENCE_S, self.may_begin)
        self.start = Start(begun, lookup, begun.now_s - self.lane.clock())
        self.update(begun.records)
        return begun

    async def claim(self, transitions: Sequence[Transition], ns: Sequence[int]) -> list[Claimed]:
        """Write transitions and claim recipients in one step; return those that are ours now. Raises Requeue.

        Where it raises, the transitions may not be written yet: record them.
        """
        lookup = self.start.lookup
        if lookup is not None and len(ns) < len(self.recipients):
            lookup = lookup.only(ns)
        self.states.update((n, replace(self.states[n], is_claiming=True)) for n in ns)
        advance = partial(self.lane.claims.advance, self.chunk, transitions, ns, lookup=lookup)
        self.update(await self.persist(advance, PATIENCE_S, self.may_begin))
        return self.find_claimed(ns)

    def find_claimed(self, ns: Iterable[int]) -> list[Claimed]:
        """Return those that this worker has claimed."""
        return [record for n in ns if isinstance(record := self.states[n].record, Free | Lapsed)]

    # Prepare and call

    async def prepare(self, ns: Sequence[int]) -> Prepared | Again | Blocked | Refused:
        """Prepare what these recipients share, or return why it can't be. Raises Requeue."""
        if not self.may_begin():
            raise Requeue("interrupted")
        try:
            prepared = await self._channel.prepare(self.job)
            return replace(prepared, was_called=False) if isinstance(prepared, Blocked) else prepared
        except Exception:
            log.exception("channel_broke", chunk=self.chunk.name, attempt=self.job.attempt, at="prepare")
        self.mark_suspects(ns)
        return Again("", BUG, "The channel broke while it prepared the message.")

    async def call(self, prepared: Prepared, claimed: Sequence[Claimed]) -> list[Transition]:
        """Make one call for those that may be sent to now. A channel that raises is a bug: the provider may have it."""
        held = self.decide_before_call(claimed)
        held |= await self._count_caps([state for state in claimed if state.n not in held])
        sendable = [state for state in claimed if state.n not in held]
        if not sendable:
            return list(held.values())
        lane, answers = self.lane, dict[int, Result]()
        in_flight, begun_at = lane.metrics.in_flight[lane.lane], lane.clock()
        in_flight.inc()
        try:
            recipients = [self.recipients[state.n] for state in sendable]
            answers.update(await self._channel.deliver(self.job, prepared, recipients))
        except Exception:
            log.exception("channel_broke", chunk=self.chunk.name, attempt=self.job.attempt, at="deliver")
        finally:
            in_flight.dec()
            lane.metrics.seconds.observe(lane.clock() - begun_at)
        transitions = list(held.values())
        for state in sendable:
            result = answers.get(state.n)
            if result is None:
                self.mark_suspects([state.n])
                result = Unknown("", BUG, "The channel broke while it sent the message.")
            transitions.append(self._decide(state, result))
        return transitions

    def _decide(self, state: Claimed, result: Result) -> Transition:
        """Decide what becomes of a recipient. During an outage of the channel it was no attempt at this message."""
        terms, guard = self.terms, self.lane.outage
        if not self.is_forced and (guard.is_on or isinstance(result, Again | Blocked)):
            outage = guard.check()
            if outage is not None and isinstance(result, Again | Blocked):
                # It comes again soon, and waits here; unless others are to try before it.
                cause = (result.provider, outage.scope, result.code, result.detail)
                self.count(Blocked(*cause, outage.after_s, result.concerns))
                is_behind = isinstance(result, Blocked) and result.after_s > outage.after_s + BEHIND_S
                after_s = result.after_s if is_behind else 0.0
                result = Blocked(*cause, after_s, result.concerns, was_called=result.was_called, hops=result.hops)
                return decide(state, result, self.now_s(), terms)
        self.count(result)
        return decide(state, result, self.now_s(), terms)

    def decide_before_call(self, claimed: Sequence[Claimed]) -> dict[int, Transition]:
        """Decide what becomes of those that may not be sent now: late, erased, suppressed or in doubt."""
        is_late, held = self.is_late(), dict[int, Transition]()
        for state in claimed:
            if is_late or state.erased or state.suppressed or state.doubtful or state.cancelled is not False:
                transition = decide_before_call(state, self.now_s(), self.terms)
                if transition is not None:
                    held[state.n] = transition
        return held

    async def _count_caps(self, claimed: Sequence[Claimed]) -> dict[int, Transition]:
        """Count messages by the caps of their addresses; decide what becomes of those that are too many.

        Tests count for none.
        """
        if self.job.is_test:
            return {}
        addresses = {state.n: self.recipients[state.n].address for state in claimed}
        try:
            reached = await self.lane.caps.count(self.job, addresses)
        except (RedisUnavailable, RedisRefused) as error:
            self.lane.cap_problem.report(error)
            return {state.n: decide(state, CAPS_UNKNOWN, self.now_s(), self.terms) for state in claimed}
        return {
            state.n: decide_capped(state, row, self.now_s(), self.terms)
            for state in claimed
            if (row := reached.get(state.n)) is not None
        }

    def count(self, result: Result) -> None:
        """Count a result, and report a block to the pause switch."""
        self.lane.metrics.attempts[result.provider][result.kind].inc()
        if isinstance(result, Sent):
            queued_at = self.job.released_at or self.job.accepted_at
            self.lane.metrics.accept_to_sent.observe(self.now_s() - queued_at.timestamp())
        if isinstance(result, Blocked):
            self.lane.pause.block(result)

    # Record

    async def record(self, transitions: Sequence[Transition]) -> None:
        """Write what attempts ended with. Raises Requeue where Redis stays away."""
        if not transitions:
            return
        # A single message that has ended needs no other step: the end of its delivery is written with it.
        closes = len(self.recipients) == 1 and transitions[0].step_s is None
        has_start = closes and self.start.begun is not FRESH
        advance = partial(self.lane.claims.advance, self.chunk, transitions, ends=has_start)
        self.update(await self.persist(advance, WRITE_PATIENCE_S))
        self.is_closed = closes

    # Publish and ack

    async def settle(self, begun: BeginReply, again: Sequence[int] = ()) -> None:
        """Publish the outcomes, delay the copies of what comes again, and only then ack. Raises Requeue."""
        if not await self.publish():
            raise Requeue("the broker is lost")
        handed: Sequence[int] = ()
        broken = 0
        if again or any(isinstance(state.record, Delayed | Busy) for state in self.states.values()):
            records = {n: state.record for n, state in self.states.items()}
            broke = [n for n, state in self.states.items() if state.broke]
            plan = plan_retries(self.terms, records, begun.broken, broke=broke, again=again)
            await self._delay(plan, begun)
            handed = [n for n, record in records.items() if isinstance(record, Delayed) and not record.handed]
            # A copy that is redelivered unchanged continues with this very count.
            broken = plan.starts().get(self.chunk.start, 0)
        if not self.is_closed:
            await self.end(PATIENCE_S, handed=handed, broken=broken)
        await ack(self.lane.broker, self.delivery)
        self._schedule_compaction()
        outcomes = self._find_outcomes()
        statuses = Counter(map(str, (outcome.status for outcome in outcomes)))
        codes = sorted({outcome.code for outcome in outcomes if outcome.code})
        names = {"chunk": self.chunk.name, "method": self.job.method, "attempt": self.job.attempt}
        log.info("delivered", **names, **statuses, **({"codes": codes} if codes else {}))

    def _schedule_compaction(self) -> None:
        """Queue the chunk for compaction, once every recipient is settled and published."""
        if self._is_sure or all(isinstance(state.record, Settled) for state in self.states.values()):
            chunk = self.chunk
            ended = SettledChunk(chunk.accepted_s, chunk.name, chunk.key, chunk.keep_until_ms, self._is_sure)
            self.lane.claims.ended.append(ended)

    def _find_outcomes(self) -> list[Outcome]:
        records = (state.record for state in self.states.values())
        return [record.outcome for record in records if isinstance(record, Settled | Delayed)]

    async def publish(self) -> bool:
        """Publish the outcomes of recipients to history; False where the broker is lost."""
        outcomes = self._find_outcomes()
        return not outcomes or await self.lane.publisher.publish(outcomes, self.delivery)

    async def _delay(self, plan: RetryPlan, begun: BeginReply) -> None:
        """Delay the copies; before, write to the claims which of them hold what broke a worker."""
        if not plan:
            return
        if starts := plan.starts():
            lapsed_owner = [state.lapsed_owner for state in self.states.values() if state.lapsed_owner]
            beginners = list(dict.fromkeys([*begun.by, *lapsed_owner]))
            await self.persist(partial(self.lane.claims.copy_breaks, self.chunk, starts, beginners), PATIENCE_S)
        if not await self.lane.publisher.delay(plan.jobs(), self.lane.queue, self.delivery):
            raise Requeue("the broker is lost")

    async def release(self, patience_s: float) -> None:
        """Record that an unfinished delivery ended in good order, and release the claims that were not begun."""
        begun = self.start.begun
        if begun is None or begun.answer != "go":
            return  # this start is not recorded, and earlier starts must still count
        unsent = [n for n, state in self.states.items() if state.is_claiming]
        await self.end(patience_s, unsent=unsent, broken=begun.broken)

    async def end(
        self, patience_s: float, *, handed: Sequence[int] = (), unsent: Sequence[int] = (), broken: int
    ) -> None:
        """Record that the delivery has ended; without Redis log that, since the ack suffices."""
        end = partial(self.lane.claims.end, self.chunk, handed=handed, unsent=unsent, broken=broken)
        try:
            await self.persist(end, patience_s)
        except Requeue as error:
            log.warning("end_not_written", chunk=self.chunk.name, why=str(error))

    # State

    def update(self, records: Mapping[int, Record]) -> None:
        """Replace the records of recipients by later ones."""
        for n, record in records.items():
            before = self.states.get(n)
            lapsed_owner = record.owner if isinstance(record, Lapsed) else before.lapsed_owner if before else ""
            self.states[n] = State(record, broke=before is not None and before.broke, lapsed_owner=lapsed_owner)

    def mark_suspects(self, ns: Iterable[int]) -> None:
        """Mark the recipients whose call raised."""
        self.states.update((n, replace(self.states[n], broke=True)) for n in ns)

    def now_s(self) -> float:
        """Return the time by Redis' clock (Unix, seconds)."""
        return self.lane.clock() + self.start.ahead_s

    def is_late(self) -> bool:
        """Return whether the job's life is over; the time in which nothing got through does not count."""
        if self.lane.outage.outages:
            job = self.lane.outage.prolong(self._original_job, self.now_s())
            if job.expires_at != self.job.expires_at:
                self.job, self.terms = job, replace(self.terms, job=job)
        return self.now_s() >= self.job.expires_at.timestamp()

    def may_begin(self) -> bool:
        """Return whether another recipient may be begun: a worker that lost its broker or is to end begins none."""
        return self.delivery.held and not any(event.is_set() for event in self.lane.ending)

    async def persist(
        self, call: Callable[[], Awaitable[T]], patience_s: float, may_go_on: Callable[[], bool] | None = None
    ) -> T:
        """Repeat a step of the claims while Redis is away. Raises Requeue once patience is over."""
        until, tries = self.lane.clock() + patience_s, 0
        while True:
            try:
                return await call()
            except RedisUnavailable as error:
                self.lane.pause.close(str(error))
                if self.lane.clock() >= until or not (may_go_on is None or may_go_on()):
                    raise Requeue(f"Redis is away: {error}") from error
            tries += 1
            draw = self.lane.random.random()
            await asyncio.sleep(back_off_s(tries, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S))
