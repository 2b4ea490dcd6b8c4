"""Carrying out deliveries: claim, prepare, call, record, publish, ack.

All that is decided is decided by `decide`; here is what talks to Redis, the channel and the broker.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Generic, TypeVar

from imsg_broker.port import Broker, Delivery, Unreachable
from imsg_contract.wire import Again, Blocked, Job, Outcome, Recipient, Refused, Result, Sent, Status, Unknown
from imsg_delivery.channel import Asking, Prepared
from imsg_delivery.claims.records import Busy, Claimed, Delayed, Ended, Free, Lapsed, Record, Transition
from imsg_delivery.claims.store import BREAKS, Begun, ChunkRecord
from imsg_delivery.decide import AttemptTerms, decide, find_out, forget, give_up, hold_up
from imsg_delivery.delays import FIRST_WAIT_S, LONGEST_WAIT_S
from imsg_delivery.lane_context import LaneContext
from imsg_delivery.retry_plan import RetryPlan, plan_retries
from imsg_runtime.back_off import back_off_s
from imsg_runtime.observe import logger
from imsg_runtime.redis import RedisUnavailable
from imsg_runtime.tombstones import Lookup

log = logger(__name__)

PATIENCE_S = 5.0
"""How long a delivery waits for Redis before it is handed back with nothing more sent."""

WRITE_PATIENCE_S = 600.0
"""How long a result is held for Redis to come back: it is worth more than the place it takes."""

LAST_WORDS_S = 2.0
"""How long a cancelled delivery may take to write that it ended in good order."""

BUG = "bug"
"""The code of what a channel answered by raising."""

STATUS_UNKNOWN = Unknown("", "status_unknown", "It can't be found out yet whether the provider has it.")

LEDGER_LOST = Unknown("", "ledger_lost", "Redis lost what was known of it while it may have been sent.")

T = TypeVar("T")


class Ending(Enum):
    """How a delivery ended."""

    DONE = "done"
    REQUEUED = "requeued"
    WANTS_TO_BE_ALONE = "wants to be alone"


class Requeue(Exception):  # noqa: N818  no fault of the delivery
    """The delivery can't go on here: leave it unacked, so that it is delivered again."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a delivery was begun."""

    begun: Begun | None = None
    lookup: Lookup | None = None
    """The question who of the chunk was erased."""
    ahead_s: float = 0.0
    """How far Redis' clock is ahead of ours: no sender's own clock decides anything."""


FRESH = Begun(now_s=0.0, answer="go", broken=0, by=(), known=False, records={})
"""How a single message was begun that was claimed at once: it has no start that would have to be taken away."""


@dataclass(frozen=True, slots=True)
class State:
    """How a recipient stands for this delivery."""

    record: Record
    """As the claims said last."""
    is_claiming: bool = False
    """A claim was asked for and not answered yet: it may be ours without our knowing."""
    broke: bool = False
    """The channel broke over it: the copy it comes in is watched."""
    died: str = ""
    """Who had claimed it before and let the claim expire."""


class Slot(Generic[Prepared]):
    """A call's place among those in flight: within the share of its lane, and of each lane above it.

    A lane's share counts the calls of those below it, so what it has beyond theirs is always free of them.
    """

    def __init__(self, lane: LaneContext[Prepared]) -> None:
        self._lane = lane
        self._held = 0

    async def __aenter__(self) -> "Slot[Prepared]":
        """Wait for it."""
        await self._take()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave it to others."""
        self._free()

    def is_wanted(self) -> bool:
        """Tell whether a call of a lane above waits, or this one is to hold back."""
        restraint = self._lane.restraint
        return (restraint is not None and restraint.pause_s > 0) or any(
            self._lane.waiting[above] for above in self._lane.above
        )

    async def give_way(self) -> None:
        """Let those go first who wait."""
        self._free()
        await self._take()

    def leave(self) -> None:
        """Give it up before the context ends, where nothing more is called."""
        self._free()

    async def _take(self) -> None:
        waiting, lane, restraint = self._lane.waiting, self._lane.lane, self._lane.restraint
        if restraint is not None and restraint.pause_s:
            await asyncio.sleep(restraint.pause_s)
        waiting[lane] += 1
        try:
            for share in self._lane.shares:
                await share.acquire()
                self._held += 1
        except asyncio.CancelledError:
            self._free()
            raise
        finally:
            waiting[lane] -= 1

    def _free(self) -> None:
        held, self._held = self._held, 0
        for share in self._lane.shares[:held]:
            share.release()


async def deliver(
    lane: LaneContext[Prepared], group: Sequence[tuple[Job, Delivery]], owners: Iterator[str], *, alone: bool = False
) -> Mapping[Delivery, Ending]:
    """Carry out a group of chunks, each until it is acked or has to be handed back; only cancelling raises.

    They go side by side: their steps share round trips to Redis, their outcomes a publish, and each is acked when
    its own are kept.
    """
    units = {delivery: ChunkDelivery(lane, job, delivery, next(owners)) for job, delivery in group}
    if len(units) == 1:
        return {delivery: await unit.carry_out(alone=alone) for delivery, unit in units.items()}
    endings = await asyncio.gather(*(unit.carry_out(alone=alone) for unit in units.values()))
    return dict(zip(units, endings, strict=True))


async def ack(broker: Broker, delivery: Delivery) -> None:
    """Say that a delivery is done with; one that was handed back meanwhile comes again and finds all settled."""
    try:
        await broker.ack(delivery)
    except Unreachable as error:
        log.info("ack_too_late", queue=delivery.queue, why=str(error))


class ChunkDelivery(Generic[Prepared]):
    """One delivery of one chunk."""

    def __init__(self, lane: LaneContext[Prepared], job: Job, delivery: Delivery, owner: str) -> None:
        self._lane = lane
        self._job = job
        self._delivery = delivery
        self._recipients: Mapping[int, Recipient] = {recipient.n: recipient for recipient in job.recipients}
        is_whole = job.chunk is None or len(job.recipients) == lane.channel.terms.chunk_size
        self._chunk = ChunkRecord(job, owner, is_whole=is_whole)
        self._terms = AttemptTerms(job, lane.channel.terms, lane.steps_s, lane.waits_s, lane.random.random())
        self._start = Start()
        self._states: dict[int, State] = {}
        self._is_closed = False
        self._is_sure = False
        """Nothing is known of the chunk but that its one message was sent."""

    async def carry_out(self, *, alone: bool) -> Ending:
        """Do all that can be done for the delivery here and now; only cancelling raises."""
        try:
            if not alone and self._is_plain() and await self._send_at_once():
                await self._settle(FRESH)
                return Ending.DONE
            async with self._lane.places:
                if not self._may_begin():
                    return Ending.REQUEUED
                begun = await self._begin(alone=alone)
                if begun.answer == "alone":
                    return Ending.WANTS_TO_BE_ALONE
                if begun.answer == "go":
                    await self._work(begun)
            await (self._die(begun) if begun.answer == "dead" else self._settle(begun))
        except Requeue as why:
            log.info("handed_back", chunk=self._chunk.name, why=str(why))
            await self._give_back(WRITE_PATIENCE_S)
            return Ending.REQUEUED
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(LAST_WORDS_S))
            raise
        except Exception:
            log.exception("chunk_broke", chunk=self._chunk.name, attempt=self._job.attempt)
            return await self._delay_as_it_is()
        finally:
            if not self._is_closed:
                self._lane.claims.forget(self._chunk)
        return Ending.DONE

    # A single message, as nearly all are

    def _is_plain(self) -> bool:
        """Tell whether it is one message that may be claimed at once: new to all that is known, its content at hand."""
        job = self._job
        return (
            len(job.recipients) == 1
            and not (job.fencing_token or job.asking or job.attachments or self._delivery.redelivered)
            and job.content_at is None
        )

    async def _send_at_once(self) -> bool:
        """Claim in the step that begins, send, and record; False where something is known of the message already.

        Only who holds a slot claims, and whoever gets it next claims behind our record, on the same connection: so
        never more is in doubt than there are slots.
        """
        recipient = self._job.recipients[0]
        async with Slot(self._lane):
            if not self._may_begin():
                raise Requeue("interrupted")
            claimed = await self._begin_and_claim(recipient.n)
            if claimed is None:
                return False
            if isinstance(claimed, Ended):
                self._see({recipient.n: claimed})
                self._is_closed = True
                return True
            transitions = list(self._hold_up([claimed]).values())
            if not transitions:
                prepared = await self._prepare([recipient.n])
                self._see({recipient.n: claimed})
                if isinstance(prepared, Again | Blocked | Refused):
                    self._count(prepared)
                    transitions = [decide(claimed, prepared, self._now_s(), self._terms)]
                else:
                    transitions = await self._call(prepared, [claimed])
        await self._record(transitions)
        record, outcome = self._states[recipient.n].record, transitions[0].outcome
        is_ours = isinstance(record, Ended) and record.outcome is outcome
        self._is_sure = is_ours and outcome.status is Status.SENT and self._chunk.is_whole
        return True

    async def _begin_and_claim(self, n: int) -> Free | Ended | None:
        lookup = await self._prepare_lookup()
        # Until it is answered, and while it is prepared, it may be ours and is certainly not sent.
        self._start, self._states = Start(FRESH, lookup), {n: State(Free(n, 0.0, doubtful=False), is_claiming=True)}
        step = partial(self._lane.claims.begin_and_claim, self._chunk, n, lookup)
        claimed = await self._persist(step, PATIENCE_S, self._may_begin)
        if claimed is None:
            self._start, self._states = Start(), {}
        elif isinstance(claimed, Free):
            self._start = Start(FRESH, lookup, claimed.first_s - self._lane.clock())
        return claimed

    # Claim

    async def _prepare_lookup(self) -> Lookup | None:
        if self._lane.tombstones is None:
            return None
        addresses = {n: recipient.address for n, recipient in self._recipients.items()}
        return await self._lane.tombstones.prepare(addresses, self._job.accepted_at)

    async def _begin(self, *, alone: bool) -> Begun:
        """Begin, and go by Redis' clock from here. Raises Requeue."""
        lookup = await self._prepare_lookup()
        begin = partial(self._lane.claims.begin, self._chunk, list(self._recipients), alone=alone, lookup=lookup)
        begun = await self._persist(begin, PATIENCE_S, self._may_begin)
        self._start = Start(begun, lookup, begun.now_s - self._lane.clock())
        self._see(begun.records)
        return begun

    async def _claim(self, transitions: Sequence[Transition], ns: Sequence[int]) -> list[Claimed]:
        """Write transitions and claim recipients in one step; return those that are ours now. Raises Requeue.

        Where it raises, the transitions may not be written yet: record them.
        """
        lookup = self._start.lookup
        if lookup is not None and len(ns) < len(self._recipients):
            lookup = lookup.only(ns)
        self._states.update((n, replace(self._states[n], is_claiming=True)) for n in ns)
        advance = partial(self._lane.claims.advance, self._chunk, transitions, ns, lookup=lookup)
        self._see(await self._persist(advance, PATIENCE_S, self._may_begin))
        return self._find_claimed(ns)

    def _find_claimed(self, ns: Iterable[int]) -> list[Claimed]:
        return [record for n in ns if isinstance(record := self._states[n].record, Free | Lapsed)]

    # Prepare and call

    async def _work(self, begun: Begun) -> None:
        todo = self._find_claimed(self._recipients)
        if not todo:
            return
        ns = [state.n for state in todo]
        try:
            if all(state.erased for state in todo):  # nothing is fetched for them: it may be gone
                await self._answer(ns, None)
            elif self._job.asking:
                await self._ask(ns)  # also past its life: asking sends nothing
            elif self._is_late():
                await self._answer(ns, None)
            elif await self._may_have_lost_claims(begun):
                await self._answer(ns, LEDGER_LOST)
            else:
                await self._send(ns)
        except Requeue:
            # What has ended is told now: the rest may be long in coming.
            await self._publish()
            raise

    async def _may_have_lost_claims(self, begun: Begun) -> bool:
        """Tell whether somebody may have been sending this when Redis lost its data (promise 6)."""
        if begun.known or not self._delivery.redelivered:
            return False
        return self._job.accepted_at.timestamp() < await self._persist(self._lane.claims.born_s, PATIENCE_S)

    async def _send(self, ns: Sequence[int]) -> None:
        """Send to these recipients, or find why not. Raises Requeue where some are left."""
        terms = self._lane.channel.terms
        async with Slot(self._lane) as slot:
            prepared = await self._prepare(ns)
            if isinstance(prepared, Again | Blocked | Refused):
                await self._answer(ns, prepared)
                return
            calls = [ns[at : at + terms.call_size] for at in range(0, len(ns), terms.call_size)]
            width = min(terms.concurrency[self._lane.lane], len(calls))
            is_done = await self._call_side_by_side(prepared, iter(calls), width, slot)
        if not is_done:
            raise Requeue("interrupted")

    async def _prepare(self, ns: Sequence[int]) -> Prepared | Again | Blocked | Refused:
        if not self._may_begin():
            raise Requeue("interrupted")
        try:
            return await self._lane.channel.prepare(self._job)
        except Exception:
            log.exception("channel_broke", chunk=self._chunk.name, attempt=self._job.attempt, at="prepare")
        self._suspect(ns)
        return Again("", BUG, "The channel broke while it prepared the message.")

    async def _call_side_by_side(
        self, prepared: Prepared, calls: Iterator[Sequence[int]], width: int, slot: Slot[Prepared]
    ) -> bool:
        """Use the slot that is held already, and up to `width` - 1 more as they fall free; False if interrupted."""
        if width == 1:
            return await self._call_in_turn(prepared, calls, slot)
        waiting: set[asyncio.Task[bool]] = set()

        async def join() -> bool:
            async with Slot(self._lane) as another:
                waiting.discard(asyncio.current_task())
                return await self._call_in_turn(prepared, calls, another)

        others = [asyncio.create_task(join()) for _ in range(width - 1)]
        waiting.update(others)
        try:
            is_done = await self._call_in_turn(prepared, calls, slot)
        except asyncio.CancelledError:
            waiting.update(others)
            raise
        finally:
            # Of the others some may have given way and wait for a slot: were it ours, and every chunk's so, for ever.
            slot.leave()
            for task in waiting:
                task.cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        return is_done and False not in ended

    async def _call_in_turn(self, prepared: Prepared, calls: Iterator[Sequence[int]], slot: Slot[Prepared]) -> bool:
        """Make one call after the other; the results of one are written in the step that claims for the next."""
        transitions: list[Transition] = []
        is_done = True
        for ns in calls:
            try:
                if transitions and slot.is_wanted():
                    await self._record(transitions)  # first: who gives way may have to wait for long
                    transitions = []
                    await slot.give_way()
                claimed = await self._claim(transitions, ns) if self._may_begin() else None
            except Requeue:
                claimed = None
            if claimed is None:
                is_done = False
                break
            transitions = await self._call(prepared, claimed)
        await self._record(transitions)
        return is_done

    async def _call(self, prepared: Prepared, claimed: Sequence[Claimed]) -> list[Transition]:
        """Make one call for whoever may be sent to now; what raises is a bug: the provider may have the message."""
        held = self._hold_up(claimed)
        sendable = [state for state in claimed if state.n not in held]
        if not sendable:
            return list(held.values())
        lane, answers = self._lane, dict[int, Result]()
        try:
            with lane.metrics.in_flight[lane.lane].track_inprogress(), lane.metrics.seconds.time():
                recipients = [self._recipients[state.n] for state in sendable]
                answers.update(await lane.channel.deliver(self._job, prepared, recipients))
        except Exception:
            log.exception("channel_broke", chunk=self._chunk.name, attempt=self._job.attempt, at="deliver")
        transitions = list(held.values())
        for state in sendable:
            result = answers.get(state.n)
            if result is None:
                self._suspect([state.n])
                result = Unknown("", BUG, "The channel broke while it sent the message.")
            self._count(result)
            transitions.append(decide(state, result, self._now_s(), self._terms))
        return transitions

    def _hold_up(self, claimed: Sequence[Claimed]) -> dict[int, Transition]:
        """Say what becomes of those that may not be sent now: only what is late, erased or in doubt has to be asked."""
        is_late, held = self._is_late(), dict[int, Transition]()
        for state in claimed:
            if is_late or state.erased or state.doubtful:
                transition = hold_up(state, self._now_s(), self._terms)
                if transition is not None:
                    held[state.n] = transition
        return held

    async def _answer(self, ns: Sequence[int], result: Result | None) -> None:
        """Let one result be the answer for all of them without a call; None for those that may not be sent anyway."""
        if not self._may_begin():
            raise Requeue("interrupted")
        claimed = await self._claim([], ns)
        held = self._hold_up(claimed)
        transitions = list(held.values())
        for state in claimed:
            if state.n not in held and result is not None:
                self._count(result)
                transitions.append(decide(state, result, self._now_s(), self._terms))
        await self._record(transitions)

    async def _ask(self, ns: Sequence[int]) -> None:
        """Ask the provider what became of these recipients. Raises Requeue where some are left."""
        async with Slot(self._lane):
            prepared = await self._prepare(ns)
            size = self._lane.channel.terms.call_size
            for at in range(0, len(ns), size):
                if not self._may_begin():
                    raise Requeue("interrupted")
                claimed = await self._claim([], ns[at : at + size])
                results = await self._ask_once(prepared, [self._recipients[one.n] for one in claimed if not one.erased])
                await self._record(
                    [
                        forget(state, self._now_s(), self._terms)
                        if state.erased
                        else find_out(state, results.get(state.n, STATUS_UNKNOWN), self._now_s(), self._terms)
                        for state in claimed
                    ]
                )

    async def _ask_once(
        self, prepared: Prepared | Again | Blocked | Refused, recipients: Sequence[Recipient]
    ) -> Mapping[int, Result]:
        """Ask once; without an answer, whatever the reason, it is unknown what became of them."""
        channel = self._lane.channel
        if isinstance(prepared, Again | Blocked | Refused) or not recipients or not isinstance(channel, Asking):
            return {}
        try:
            return await channel.ask(self._job, prepared, recipients)
        except Exception:
            log.exception("channel_broke", chunk=self._chunk.name, attempt=self._job.attempt, at="ask")
            return {}

    def _count(self, result: Result) -> None:
        self._lane.metrics.attempts[type(result), result.provider].inc()
        if isinstance(result, Sent):
            self._lane.metrics.accept_to_sent.observe(self._now_s() - self._job.accepted_at.timestamp())
        if isinstance(result, Blocked):
            self._lane.pause.block(result)

    # Record

    async def _record(self, transitions: Sequence[Transition]) -> None:
        """Write what attempts ended with. Raises Requeue where Redis stays away."""
        if not transitions:
            return
        # A single message that has ended needs no other step: the end of its delivery is written with it.
        closes = len(self._recipients) == 1 and transitions[0].step_s is None
        has_start = closes and self._start.begun is not FRESH
        advance = partial(self._lane.claims.advance, self._chunk, transitions, ends=has_start)
        self._see(await self._persist(advance, WRITE_PATIENCE_S))
        self._is_closed = closes

    # Publish and ack

    async def _settle(self, begun: Begun, again: Sequence[int] = ()) -> None:
        """Tell history, keep the copies of what comes again, and only then ack. Raises Requeue."""
        if not await self._publish():
            raise Requeue("the broker is lost")
        handed: Sequence[int] = ()
        broken = 0
        if again or any(isinstance(state.record, Delayed | Busy) for state in self._states.values()):
            records = {n: state.record for n, state in self._states.items()}
            broke = [n for n, state in self._states.items() if state.broke]
            plan = plan_retries(self._terms, records, begun.broken, broke=broke, again=again)
            await self._delay(plan, begun)
            handed = [n for n, record in records.items() if isinstance(record, Delayed) and not record.handed]
            # A copy that comes again as it is goes on with this very count.
            broken = plan.starts().get(self._chunk.start, 0)
        if not self._is_closed:
            await self._end(PATIENCE_S, handed=handed, broken=broken)
        await ack(self._lane.broker, self._delivery)
        self._let_shrink()
        outcomes = self._find_outcomes()
        statuses = Counter(outcome.status.value for outcome in outcomes)
        codes = sorted({outcome.code for outcome in outcomes if outcome.code})
        names = {"chunk": self._chunk.name, "method": self._job.method, "attempt": self._job.attempt}
        log.info("delivered", **names, **statuses, **({"codes": codes} if codes else {}))

    def _let_shrink(self) -> None:
        """Let what is kept of the chunk shrink, once every recipient has ended and history hears of it."""
        if self._is_sure or all(isinstance(state.record, Ended) for state in self._states.values()):
            self._lane.claims.settle(self._chunk, is_sure=self._is_sure)

    def _find_outcomes(self) -> list[Outcome]:
        records = (state.record for state in self._states.values())
        return [record.outcome for record in records if isinstance(record, Ended | Delayed)]

    async def _publish(self) -> bool:
        outcomes = self._find_outcomes()
        return not outcomes or await self._lane.publisher.publish(outcomes, self._delivery)

    async def _delay(self, plan: RetryPlan, begun: Begun) -> None:
        """Keep copies of what comes again; before, tell the claims which of them hold what broke a worker."""
        if not plan:
            return
        if starts := plan.starts():
            died = [state.died for state in self._states.values() if state.died]
            beginners = list(dict.fromkeys([*begun.by, *died]))
            await self._persist(partial(self._lane.claims.carry, self._chunk, starts, beginners), PATIENCE_S)
        if not await self._lane.publisher.delay(plan.jobs(), self._lane.queue, self._delivery):
            raise Requeue("the broker is lost")

    # What else a delivery may end with

    async def _die(self, begun: Begun) -> None:
        """Give the job to history as dead, once nobody is at any of its recipients any more. Raises Requeue."""
        if any(isinstance(state.record, Busy) for state in self._states.values()):
            await self._settle(begun, again=[state.n for state in self._find_claimed(self._states)])
            return
        if not await self._publish():
            raise Requeue("the broker is lost")
        if not await self._lane.publisher.dead_letter(self._delivery, f"broke the worker {BREAKS} times"):
            raise Requeue("the broker is lost")
        log.error("dead_lettered", chunk=self._chunk.name, attempt=self._job.attempt)
        self._lane.metrics.dead.inc()
        # Nobody may send the rest any more, should another copy of it be about.
        rest = [n for n, state in self._states.items() if isinstance(state.record, Free | Lapsed | Delayed)]
        try:
            await self._record([give_up(n, self._now_s(), self._terms) for n in rest])
        except Requeue as error:
            log.warning("dead_not_written", chunk=self._chunk.name, why=str(error))

    async def _delay_as_it_is(self) -> Ending:
        """After a bug of our own: delay the delivery as it is; its start stands, and counts against it."""
        copy = (self._job, self._lane.steps_s[0])
        if not await self._lane.publisher.delay([copy], self._lane.queue, self._delivery):
            return Ending.REQUEUED
        await ack(self._lane.broker, self._delivery)
        return Ending.DONE

    async def _give_back(self, patience_s: float) -> None:
        """Write that the delivery ended in good order though not done, and that what was not begun is free."""
        begun = self._start.begun
        if begun is None or begun.answer != "go":
            return  # nothing of it is written, and what earlier starts left must stand
        unsent = [n for n, state in self._states.items() if state.is_claiming]
        await self._end(patience_s, unsent=unsent, broken=begun.broken)

    async def _end(
        self, patience_s: float, *, handed: Sequence[int] = (), unsent: Sequence[int] = (), broken: int
    ) -> None:
        """Write that the delivery has ended; without Redis the ack will do."""
        end = partial(self._lane.claims.end, self._chunk, handed=handed, unsent=unsent, broken=broken)
        try:
            await self._persist(end, patience_s)
        except Requeue as error:
            log.warning("end_not_written", chunk=self._chunk.name, why=str(error))

    # What all of this stands on

    def _see(self, records: Mapping[int, Record]) -> None:
        """Note how recipients stand now."""
        for n, record in records.items():
            before = self._states.get(n)
            died = record.owner if isinstance(record, Lapsed) else before.died if before else ""
            self._states[n] = State(record, broke=before is not None and before.broke, died=died)

    def _suspect(self, ns: Iterable[int]) -> None:
        """Note over whom the channel broke."""
        self._states.update((n, replace(self._states[n], broke=True)) for n in ns)

    def _now_s(self) -> float:
        """Tell the time by Redis' clock (Unix, seconds)."""
        return self._lane.clock() + self._start.ahead_s

    def _is_late(self) -> bool:
        """Tell whether the job's life is over."""
        return self._now_s() >= self._job.expires_at.timestamp()

    def _may_begin(self) -> bool:
        """Tell whether another recipient may be begun: a worker that lost its broker or is to end begins none."""
        return self._delivery.held and not any(event.is_set() for event in self._lane.ending)

    async def _persist(
        self, call: Callable[[], Awaitable[T]], patience_s: float, may_go_on: Callable[[], bool] | None = None
    ) -> T:
        """Repeat a step of the claims while Redis is away. Raises Requeue once patience is over."""
        until, tries = self._lane.clock() + patience_s, 0
        while True:
            try:
                return await call()
            except RedisUnavailable as error:
                self._lane.pause.close(str(error))
                if self._lane.clock() >= until or not (may_go_on is None or may_go_on()):
                    raise Requeue(f"Redis is away: {error}") from error
            tries += 1
            draw = self._lane.random.random()
            await asyncio.sleep(back_off_s(tries, draw, first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S))
