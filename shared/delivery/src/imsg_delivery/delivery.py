"""Carrying out one delivery, from its first look into the ledger to its ack."""

import asyncio
from collections import Counter
from enum import Enum
from typing import Generic

from imsg_broker.port import Delivery
from imsg_contract.wire import Job, Unknown
from imsg_delivery.books import WRITE_PATIENCE_S, Books, HandBack
from imsg_delivery.calls import Sending
from imsg_delivery.channel import Prepared
from imsg_delivery.claims.store import BREAKS, Begun
from imsg_delivery.lane_context import Bench
from imsg_runtime.observe import logger

log = logger(__name__)

LAST_WORDS_S = 2.0
"""How long a cancelled delivery may take to write that it ended in good order."""


class Ending(Enum):
    """How the carrying out of a delivery ended."""

    DONE = "done"
    HANDED_BACK = "handed back"
    WANTS_TO_BE_ALONE = "wants to be alone"


class Part(Generic[Prepared]):
    """One taking of one part."""

    def __init__(self, bench: Bench[Prepared], job: Job, delivery: Delivery, owner: str) -> None:
        self._bench = bench
        self._delivery = delivery
        self._books = Books(bench, job, owner)
        self._sending = Sending(bench, self._books, self._may_begin)

    async def carry_out(self, *, alone: bool) -> Ending:
        """Do all that can be done for the delivery here and now; only cancelling raises."""
        try:
            async with self._bench.places:
                if not self._may_begin():
                    return Ending.HANDED_BACK
                begun = await self._books.open(alone=alone, while_=self._may_begin)
                if begun.answer == "alone":
                    return Ending.WANTS_TO_BE_ALONE
                if begun.answer == "go":
                    await self._work(begun)
            await (self._die(begun) if begun.answer == "dead" else self._conclude())
        except HandBack as why:
            log.info("handed_back", part=self._books.job.name, why=str(why))
            await self._books.give_back(WRITE_PATIENCE_S)
            return Ending.HANDED_BACK
        except asyncio.CancelledError:
            await asyncio.shield(self._books.give_back(LAST_WORDS_S))
            raise
        except Exception:
            log.exception("part_broke", part=self._books.job.name, attempt=self._books.job.attempt)
            return await self._come_again()
        finally:
            self._books.forget()
        return Ending.DONE

    async def _work(self, begun: Begun) -> None:
        todo = list(self._books.sort(begun.entries))
        try:
            if todo and self._books.are_erased(todo):  # nothing is fetched for them: it may be gone
                await self._sending.answer(todo, None)
            elif todo and self._books.job.asking:
                await self._sending.ask(todo)  # also past its life: asking sends nothing
            elif todo and self._books.is_too_late:
                await self._sending.answer(todo, None)
            elif todo and await self._may_have_lost_its_ledger(begun):
                lost = Unknown("", "ledger_lost", "Redis lost what was known of it while it may have been sent.")
                await self._sending.answer(todo, lost)
            elif todo:
                await self._sending.send(todo)
        except HandBack:
            # What has ended is told now: the rest may be long in coming.
            await self._tell()
            raise

    async def _may_have_lost_its_ledger(self, begun: Begun) -> bool:
        """Tell whether somebody may have been sending this when Redis lost its data (promise 6)."""
        if begun.known or not self._delivery.redelivered:
            return False
        return self._books.job.accepted_at.timestamp() < await self._books.born_s()

    async def _conclude(self) -> None:
        """Tell history, keep the copies of what comes again, and only then ack."""
        books, outbox = self._books, self._bench.outbox
        if not await self._tell():
            raise HandBack("the broker is lost")
        if books.copies:
            await books.pass_on()
            if not await outbox.delay(books.copies.jobs(), self._delivery):
                raise HandBack("the broker is lost")
        await books.close()
        await outbox.ack(self._delivery)
        statuses = Counter(outcome.status.value for outcome in books.outcomes)
        codes = sorted({outcome.code for outcome in books.outcomes if outcome.code})
        names = {"part": books.job.name, "method": books.job.method, "attempt": books.job.attempt}
        log.info("carried_out", **names, **statuses, **({"codes": codes} if codes else {}))

    async def _tell(self) -> bool:
        outcomes = self._books.outcomes
        return not outcomes or await self._bench.outbox.report(outcomes, self._delivery)

    async def _die(self, begun: Begun) -> None:
        """Give the job to history as dead, once nobody is at any of its recipients any more."""
        books = self._books
        rest = books.sort(begun.entries)
        if books.is_waited_for:
            for n in rest:
                books.look_again(n)
            await self._conclude()
            return
        if not await self._tell():
            raise HandBack("the broker is lost")
        if not await self._bench.outbox.dead_letter(self._delivery, f"broke the worker {BREAKS} times"):
            raise HandBack("the broker is lost")
        log.error("buried", part=books.job.name, attempt=books.job.attempt)
        self._bench.meter.buried()
        await books.mark_dead(begun.entries)

    async def _come_again(self) -> Ending:
        """After a bug of our own: put the delivery off as it is; its start stands, and counts against it."""
        copy = (self._books.job, self._bench.steps_s[0])
        if not await self._bench.outbox.delay([copy], self._delivery):
            return Ending.HANDED_BACK
        await self._bench.outbox.ack(self._delivery)
        return Ending.DONE

    def _may_begin(self) -> bool:
        """Tell whether another recipient may be begun: a worker that lost its broker or is to end begins none."""
        return self._delivery.held and not self._bench.is_ending()
