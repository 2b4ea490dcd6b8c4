"""The order of steps for chunks, and for messages already in the claims: begin, call concurrently, or query the status.

The steps are methods of `ChunkDelivery` (`delivery`).
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic

from imsg_contract.results import Again, Blocked, Refused, Result, Unknown
from imsg_contract.wire import Recipient
from imsg_delivery.channel import Prepared, SupportsStatusQuery
from imsg_delivery.claims.records import Busy, Delayed, Free, Lapsed, Transition
from imsg_delivery.claims.store import BREAKS, BeginReply
from imsg_delivery.decide import decide, decide_dead, decide_erased, decide_status
from imsg_delivery.delivery import PATIENCE_S, ChunkDelivery
from imsg_delivery.disposition import Requeue
from imsg_delivery.slots import Slot
from imsg_runtime.logs import logger

log = logger(__name__)

STATUS_UNKNOWN = Unknown("", "status_unknown", "It can't be found out yet whether the provider has it.")

CLAIMS_LOST = Unknown("", "ledger_lost", "Redis lost what was known of it while it may have been sent.")


class ChunkWorkflow(Generic[Prepared]):
    """Sends a chunk whose recipients are looked up in the claims first."""

    def __init__(self, unit: ChunkDelivery[Prepared]) -> None:
        self._unit = unit
        self._lane = unit.lane
        self._is_forced = unit.is_forced

    async def carry_out(self, *, alone: bool) -> bool:
        """Send the chunk and ack it; False if it has to be sent again in isolation. Raises Requeue."""
        unit = self._unit
        async with self._lane.places:
            if not unit.may_begin():
                raise Requeue("interrupted")
            begun = await unit.begin(alone=alone)
            if begun.answer == "alone":
                return False
            if begun.answer == "go":
                await self._work(begun)
        await (self._dead_letter_job(begun) if begun.answer == "dead" else unit.settle(begun))
        return True

    async def _work(self, begun: BeginReply) -> None:
        todo = self._unit.find_claimed(self._unit.recipients)
        if not todo:
            return
        ns = [state.n for state in todo]
        try:
            if all(state.erased for state in todo):  # their content may be deleted: fetch nothing
                await self._decide_all(ns, None)
            elif self._unit.job.status_query:
                await self._query_status(ns)  # also after its life: a query sends nothing
            elif self._unit.is_late():
                await self._decide_all(ns, None)
            elif await self._may_have_lost_claims(begun):
                await self._decide_all(ns, CLAIMS_LOST)
            else:
                await self._send(ns)
        except Requeue:
            # Publish settled outcomes now: the rest may take long.
            await self._unit.publish()
            raise

    async def _may_have_lost_claims(self, begun: BeginReply) -> bool:
        """Return whether another worker may have been sending this when Redis lost its data (promise 6)."""
        if begun.known or not self._unit.delivery.redelivered:
            return False
        return self._unit.job.queued_at.timestamp() < await self._unit.persist(
            self._lane.claims.read_data_since_s, PATIENCE_S
        )

    async def _send(self, ns: Sequence[int]) -> None:
        """Send to these recipients, or record why not. Raises Requeue where some are left."""
        terms = self._lane.channel.terms
        async with Slot(self._lane, is_forced=self._is_forced) as slot:
            prepared = await self._unit.prepare(ns)
            if isinstance(prepared, Again | Blocked | Refused):
                await self._decide_all(ns, prepared)
                return
            calls = [ns[at : at + terms.call_size] for at in range(0, len(ns), terms.call_size)]
            width = min(terms.concurrency[self._lane.lane], len(calls))
            is_done = await self._call_side_by_side(prepared, iter(calls), width, slot)
        if not is_done:
            raise Requeue("interrupted")

    async def _call_side_by_side(
        self, prepared: Prepared, calls: Iterator[Sequence[int]], width: int, slot: Slot[Prepared]
    ) -> bool:
        """Call in the held slot and in up to `width` - 1 more as they become free; False if interrupted."""
        if width == 1:
            return await self._call_in_turn(prepared, calls, slot)
        waiting: set[asyncio.Task[bool]] = set()

        async def join() -> bool:
            async with Slot(self._lane, is_forced=self._is_forced) as another:
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
            # Others may wait for a slot after giving way: if every chunk held its own here, they would wait for ever.
            slot.leave()
            for task in waiting:
                task.cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        return is_done and False not in ended

    async def _call_in_turn(self, prepared: Prepared, calls: Iterator[Sequence[int]], slot: Slot[Prepared]) -> bool:
        """Make calls one after the other; the step that claims for a call also writes the results of the previous."""
        transitions: list[Transition] = []
        is_done = True
        for ns in calls:
            try:
                if transitions and slot.is_wanted():
                    await self._unit.record(transitions)  # before giving way, which may take long
                    transitions = []
                    await slot.give_way()
                claimed = await self._unit.claim(transitions, ns) if self._unit.may_begin() else None
            except Requeue:
                claimed = None
            if claimed is None:
                is_done = False
                break
            transitions = await self._unit.call(prepared, claimed)
        await self._unit.record(transitions)
        return is_done

    async def _decide_all(self, ns: Sequence[int], result: Result | None) -> None:
        """Decide by one result for all recipients, without a call; None where none of them may be sent anyway."""
        if not self._unit.may_begin():
            raise Requeue("interrupted")
        claimed = await self._unit.claim([], ns)
        held = self._unit.decide_before_call(claimed)
        transitions = list(held.values())
        for state in claimed:
            if state.n not in held and result is not None:
                self._unit.count(result)
                transitions.append(decide(state, result, self._unit.now_s(), self._unit.terms))
        await self._unit.record(transitions)

    async def _query_status(self, ns: Sequence[int]) -> None:
        """Query the status of these recipients at the provider. Raises Requeue where some are left."""
        async with Slot(self._lane, is_forced=self._is_forced):
            prepared = await self._unit.prepare(ns)
            size = self._lane.channel.terms.call_size
            for at in range(0, len(ns), size):
                if not self._unit.may_begin():
                    raise Requeue("interrupted")
                claimed = await self._unit.claim([], ns[at : at + size])
                results = await self._query_once(
                    prepared, [self._unit.recipients[state.n] for state in claimed if not state.erased]
                )
                await self._unit.record(
                    [
                        decide_erased(state, self._unit.now_s(), self._unit.terms)
                        if state.erased
                        else decide_status(
                            state, results.get(state.n, STATUS_UNKNOWN), self._unit.now_s(), self._unit.terms
                        )
                        for state in claimed
                    ]
                )

    async def _query_once(
        self, prepared: Prepared | Again | Blocked | Refused, recipients: Sequence[Recipient]
    ) -> Mapping[int, Result]:
        """Query once; return no results where the query fails: the status stays unknown."""
        channel = self._lane.channel
        if (
            isinstance(prepared, Again | Blocked | Refused)
            or not recipients
            or not isinstance(channel, SupportsStatusQuery)
        ):
            return {}
        try:
            return await channel.query_status(self._unit.job, prepared, recipients)
        except Exception:
            log.exception(
                "channel_broke", chunk=self._unit.chunk.name, attempt=self._unit.job.attempt, at="query_status"
            )
            return {}

    async def _dead_letter_job(self, begun: BeginReply) -> None:
        """Dead-letter the job, once no worker holds a claim of its recipients. Raises Requeue."""
        if any(isinstance(state.record, Busy) for state in self._unit.states.values()):
            await self._unit.settle(begun, again=[state.n for state in self._unit.find_claimed(self._unit.states)])
            return
        if not await self._unit.publish():
            raise Requeue("the broker is lost")
        if not await self._lane.publisher.dead_letter(self._unit.delivery, f"broke the worker {BREAKS} times"):
            raise Requeue("the broker is lost")
        log.error("dead_lettered", chunk=self._unit.chunk.name, attempt=self._unit.job.attempt)
        self._lane.metrics.dead.inc()
        # No other copy of the job may send the rest.
        rest = [n for n, state in self._unit.states.items() if isinstance(state.record, Free | Lapsed | Delayed)]
        try:
            await self._unit.record([decide_dead(n, self._unit.now_s(), self._unit.terms) for n in rest])
        except Requeue as error:
            log.warning("dead_not_written", chunk=self._unit.chunk.name, why=str(error))
