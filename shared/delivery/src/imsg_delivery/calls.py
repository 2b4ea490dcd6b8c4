"""The calls of one part: prepared once, made side by side within the lane's share, each result written as it comes."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic

from imsg_contract.wire import Again, Blocked, Recipient, Refused, Result, Unknown
from imsg_delivery.books import Books, HandBack, Ours
from imsg_delivery.channel import Asking, Prepared
from imsg_delivery.claims.records import Finding
from imsg_delivery.lane_context import Bench
from imsg_runtime.observe import logger

log = logger(__name__)

BUG = "bug"
"""The code of what a channel answered by raising."""

NOT_SAID = Unknown("", "not_said", "It can't be found out yet whether the provider has it.")


class Sending(Generic[Prepared]):
    """Sends what of a part is free."""

    def __init__(self, bench: Bench[Prepared], books: Books, may_begin: Callable[[], bool]) -> None:
        self._bench = bench
        self._channel = bench.channel
        self._books = books
        self._may_begin = may_begin
        self._interrupted = False

    async def send(self, ns: Sequence[int]) -> None:
        """Send to these recipients, or find why not. Raises HandBack where some are left."""
        async with self._bench.slots:
            prepared = await self._prepared(ns)
            if isinstance(prepared, Again | Blocked | Refused):
                await self.answer(ns, prepared)
                return
            size = self._channel.terms.call_size
            calls = [ns[at : at + size] for at in range(0, len(ns), size)]
            width = min(self._channel.terms.concurrency[self._bench.lane], len(calls))
            await self._side_by_side(prepared, iter(calls), width)
        if self._interrupted:
            raise HandBack("interrupted")

    async def ask(self, ns: Sequence[int]) -> None:
        """Ask the provider what became of these recipients. Raises HandBack where some are left."""
        async with self._bench.slots:
            prepared = await self._prepared(ns)
            size = self._channel.terms.call_size
            for at in range(0, len(ns), size):
                if not self._may_begin():
                    raise HandBack("interrupted")
                ours = await self._books.claim([], ns[at : at + size], self._may_begin)
                gone = {n: finding for n, entry in ours.items() if (finding := self._books.erased(n, entry))}
                results = await self._asked(prepared, [self._books.recipients[n] for n in ours if n not in gone])
                findings = [
                    gone.get(n) or self._books.found_out(n, results.get(n, NOT_SAID), entry)
                    for n, entry in ours.items()
                ]
                await self._books.record(findings)

    async def _asked(
        self, prepared: Prepared | Again | Blocked | Refused, recipients: Sequence[Recipient]
    ) -> Mapping[int, Result]:
        """Ask once; without an answer, whatever the reason, it is unknown what became of them."""
        if isinstance(prepared, Again | Blocked | Refused) or not recipients or not isinstance(self._channel, Asking):
            return {}
        try:
            return await self._channel.ask(self._books.job, prepared, recipients)
        except Exception:
            log.exception("channel_broke", part=self._books.job.name, attempt=self._books.job.attempt, at="ask")
            return {}

    async def answer(self, ns: Sequence[int], result: Result | None) -> None:
        """Let one result be the answer for all of them without a call; None for those that may not be sent anyway."""
        if not self._may_begin():
            raise HandBack("interrupted")
        findings = []
        for n, entry in (await self._books.claim([], ns, self._may_begin)).items():
            finding = self._books.unsendable(n, entry)
            if finding is None and result is not None:
                self._note(result)
                finding = self._books.judge(n, result, entry)
            if finding is not None:
                findings.append(finding)
        await self._books.record(findings)

    async def _prepared(self, ns: Sequence[int]) -> Prepared | Again | Blocked | Refused:
        if not self._may_begin():
            raise HandBack("interrupted")
        try:
            return await self._channel.prepare(self._books.job)
        except Exception:
            log.exception("channel_broke", part=self._books.job.name, attempt=self._books.job.attempt, at="prepare")
        self._books.suspect(ns, broken=self._books.broken + 1)
        return Again("", BUG, "The channel broke while it prepared the message.")

    async def _side_by_side(self, prepared: Prepared, calls: Iterator[Sequence[int]], width: int) -> None:
        """Use the slot that is held already, and up to `width` - 1 more as they fall free."""
        waiting: set[asyncio.Task[None]] = set()

        async def join() -> None:
            async with self._bench.slots:
                waiting.discard(asyncio.current_task())
                await self._pull(prepared, calls)

        others = [asyncio.create_task(join()) for _ in range(width - 1)]
        waiting.update(others)
        try:
            await self._pull(prepared, calls)
        except asyncio.CancelledError:
            waiting.update(others)
            raise
        finally:
            for task in waiting:
                task.cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _pull(self, prepared: Prepared, calls: Iterator[Sequence[int]]) -> None:
        """Make one call after the other; the results of one are written in the step that claims for the next."""
        findings: list[Finding] = []
        for ns in calls:
            if not self._may_begin():
                self._interrupted = True
                break
            try:
                ours = await self._books.claim(findings, ns, self._may_begin)
            except HandBack:
                self._interrupted = True
                break
            findings = await self._sent(prepared, ours)
        await self._books.record(findings)

    async def _sent(self, prepared: Prepared, ours: Ours) -> list[Finding]:
        findings, recipients = [], []
        for n, entry in ours.items():
            if (finding := self._books.unsendable(n, entry)) is None:
                recipients.append(self._books.recipients[n])
            else:
                findings.append(finding)
        if recipients:
            results = await self._call(prepared, recipients)
            findings += [
                self._books.judge(recipient.n, results[recipient.n], ours[recipient.n]) for recipient in recipients
            ]
        return findings

    async def _call(self, prepared: Prepared, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Make one call; what raises or forgets a recipient is a bug, after which the provider may have the message."""
        answers: Mapping[int, Result] = {}
        try:
            with self._bench.meter.calling(self._bench.lane):
                answers = await self._channel.deliver(self._books.job, prepared, recipients)
        except Exception:
            log.exception("channel_broke", part=self._books.job.name, attempt=self._books.job.attempt, at="deliver")
        bug = Unknown("", BUG, "The channel broke while it sent the message.")
        results = {recipient.n: answers.get(recipient.n, bug) for recipient in recipients}
        self._books.suspect((n for n, result in results.items() if result is bug), broken=self._books.broken + 1)
        for result in results.values():
            self._note(result)
        return results

    def _note(self, result: Result) -> None:
        self._bench.meter.attempted(result)
        if isinstance(result, Blocked):
            self._bench.gate.blocked(result)
