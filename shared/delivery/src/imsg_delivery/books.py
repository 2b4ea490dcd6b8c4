"""One delivery's books: what the ledger says of its recipients, what to tell history of them, and who comes again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from imsg_contract.wire import Blocked, Job, Outcome, Recipient, Result, Unknown
from imsg_delivery.claims.records import Busy, Ended, Entry, Finding, Free, Lapsed, PutOff
from imsg_delivery.claims.store import BREAKS, Begun, Page
from imsg_delivery.decide import (
    DEAD,
    MAX_EXTENSION_S,
    Standing,
    Verdict,
    ask_later,
    erased,
    judge,
    may_repeat,
    too_late,
)
from imsg_delivery.delays import backoff_s
from imsg_delivery.lane_context import Bench
from imsg_delivery.retry_plan import Copies
from imsg_runtime.observe import logger
from imsg_runtime.redis import RedisUnavailable

log = logger(__name__)

PATIENCE_S = 5.0
"""How long a delivery waits for Redis before it is handed back with nothing more sent."""

WRITE_PATIENCE_S = 600.0
"""How long a result is held for Redis to come back: it is worth more than the place it takes."""

CLAIM_EXPIRED = "claim_expired"
"""The code of an attempt whose worker died or stalled over it."""

T = TypeVar("T")

Ours = Mapping[int, Free | Lapsed]
"""Recipients that nobody else is at."""


class HandBack(Exception):  # noqa: N818  no fault of the delivery
    """The delivery can't go on here: leave it unacked, so that it is delivered again."""


class Books:
    """Kept for one taking of one part."""

    def __init__(self, bench: Bench[Any], job: Job, owner: str) -> None:
        self.job = job
        self.recipients: Mapping[int, Recipient] = {recipient.n: recipient for recipient in job.recipients}
        self.copies = Copies(job)
        self.outcomes: list[Outcome] = []
        self.broken = 0
        """How often in a row this delivery was begun before and broke its worker."""
        self.is_waited_for = False
        """Somebody else is at a recipient of it."""
        self._bench = bench
        self._ledger = bench.ledger
        self._clock = bench.clock
        self._page = Page.of(job, owner)
        self._draw = bench.random.random()  # one for the part: what failed together for one reason shares a copy
        self._ahead_s = 0.0
        self._claiming: set[int] = set()
        self._erased: frozenset[int] = frozenset()
        self._suspects: dict[int, int] = {}
        self._beginners: list[str] = []
        self._handed: list[int] = []
        self._is_begun = False
        self._is_closed = False

    async def open(self, *, alone: bool, while_: Callable[[], bool]) -> Begun:
        """Begin, and go by Redis' clock from here. Raises HandBack."""
        ns = list(self.recipients)
        begin = partial(self._ledger.begin, self._page, ns, alone=alone)
        begun = await self._patiently(lambda: self._beside_tombstones(begin(), ns), PATIENCE_S, while_)
        self._ahead_s = begun.now_s - self._clock()
        self.broken = begun.broken
        self._beginners = list(begun.by)
        self._is_begun = begun.answer == "go"
        return begun

    async def born_s(self) -> float:
        """Say since when Redis has kept its data. Raises HandBack."""
        return await self._patiently(self._ledger.born_s, PATIENCE_S)

    def now_s(self) -> float:
        """Tell the time by Redis' clock (Unix, seconds): no sender's own clock decides anything."""
        return self._clock() + self._ahead_s

    def sort(self, entries: Mapping[int, Entry]) -> dict[int, Free | Lapsed]:
        """Put away what has ended, is put off, or is another's; return what is free for us."""
        ours: dict[int, Free | Lapsed] = {}
        for n, entry in entries.items():
            match entry:
                case Free() | Lapsed():
                    ours[n] = entry
                    if isinstance(entry, Lapsed) and entry.owner and entry.owner not in self._beginners:
                        self._beginners.append(entry.owner)
                case Ended():
                    self.outcomes.append(entry.outcome)
                case PutOff():
                    self.outcomes.append(entry.outcome)
                    self._put_off(n, entry)
                case Busy():
                    self.look_again(n)
        return ours

    def suspect(self, ns: Iterable[int], *, broken: int) -> None:
        """Remember whom the channel broke over: the copies they come in are watched."""
        self._suspects.update(dict.fromkeys(ns, broken))

    def look_again(self, n: int) -> None:
        """Let a recipient come again as it is, by the shortest step: its claim may end long before its lease does."""
        self.is_waited_for = True
        self.copies.add_same(self.recipients[n], self._bench.steps_s[0], broken=self.broken)

    async def claim(self, findings: Sequence[Finding], ns: Sequence[int], while_: Callable[[], bool]) -> Ours:
        """Write findings and claim recipients in one step; return those that are ours now. Raises HandBack.

        Where it raises, the findings may not be written yet: record them.
        """
        self._claiming.update(ns)
        advance = partial(self._ledger.advance, self._page, findings, ns)
        entries = await self._patiently(lambda: self._beside_tombstones(advance(), ns), PATIENCE_S, while_)
        self._claiming.difference_update(ns)
        return self.sort(entries)

    async def record(self, findings: Sequence[Finding]) -> None:
        """Write what attempts ended with. Raises HandBack where Redis stays away."""
        if not findings:
            return
        # A single message that has ended needs no other step: the end of its delivery is written with it.
        closes = len(self.recipients) == 1 and findings[0].step_s is None
        entries = await self._patiently(
            lambda: self._ledger.advance(self._page, findings, ends=closes), WRITE_PATIENCE_S
        )
        self._is_closed = closes
        self.sort(entries)

    def judge(self, n: int, result: Result, entry: Free | Lapsed) -> Finding:
        """Turn what a channel said of a recipient into what is written of it."""
        now_s, expires_s = self.now_s(), self.job.expires_at.timestamp()
        standing = Standing(
            attempt=self.job.attempt,
            left_s=expires_s - now_s,
            room_s=MAX_EXTENSION_S - self.job.extended_s,
            tried_for_s=now_s - entry.first_s,
            doubtful=entry.doubtful,
            asked=self.job.asking,
        )
        terms = self._bench.channel.terms
        if isinstance(result, Unknown) and (later := ask_later(result, standing, terms, self._bench.waits_s)):
            return self._finding(n, later)
        return self._finding(n, judge(result, standing, terms, self._bench.steps_s, self._draw))

    def found_out(self, n: int, result: Result, entry: Free | Lapsed) -> Finding:
        """Turn what the provider says, asked about a recipient, into what is written of it."""
        if isinstance(result, Blocked):  # it can't even be asked
            result = Unknown(result.provider, result.code, result.detail)
        # Whatever it answers holds for every try so far: what was never taken is in doubt no more.
        return self.judge(n, result, Free(entry.first_s, doubtful=False))

    def are_erased(self, ns: Iterable[int]) -> bool:
        """Tell whether all of these were erased since the job was accepted."""
        return self._erased.issuperset(ns)

    def erased(self, n: int, entry: Free | Lapsed) -> Finding | None:
        """Say what becomes of a claimed recipient that was erased since; None where it was not."""
        if n not in self._erased:
            return None
        return self._finding(n, erased(doubtful=entry.doubtful))

    def unsendable(self, n: int, entry: Free | Lapsed) -> Finding | None:
        """Say what becomes of a claimed recipient that may not be sent now; None where it may."""
        if (finding := self.erased(n, entry)) is not None:
            return finding
        if isinstance(entry, Lapsed):
            return self.judge(n, Unknown("", CLAIM_EXPIRED, "The worker that was sending it ended meanwhile."), entry)
        terms = self._bench.channel.terms
        if self.is_too_late and not (entry.doubtful and terms.ask_after_s):
            return self._finding(n, too_late(doubtful=entry.doubtful))
        if entry.doubtful and (self.is_too_late or not may_repeat(terms, self.now_s() - entry.first_s)):
            return self.judge(n, Unknown("", "not_repeated", "It may have been sent, and may not be repeated."), entry)
        return None

    @property
    def is_too_late(self) -> bool:
        """Whether the job's life is over."""
        return self.now_s() >= self.job.expires_at.timestamp()

    async def pass_on(self) -> None:
        """Tell the ledger which copies hold what broke a worker. Raises HandBack."""
        if starts := self.copies.starts():
            await self._patiently(lambda: self._ledger.carry(self._page, starts, self._beginners), PATIENCE_S)

    async def close(self) -> None:
        """Write that the delivery has ended and its copies are kept; without Redis the ack will do."""
        if self._is_closed:
            return
        # A copy that comes again as it is goes on with this very count.
        broken = self.copies.starts().get(self._page.start, 0)
        try:
            await self._patiently(lambda: self._ledger.end(self._page, handed=self._handed, broken=broken), PATIENCE_S)
        except HandBack as error:
            log.warning("end_not_written", part=self.job.name, why=str(error))

    async def mark_dead(self, entries: Mapping[int, Entry]) -> None:
        """Write that nobody may send the rest any more, should another copy of it be about."""
        dead = [n for n, entry in entries.items() if isinstance(entry, Free | Lapsed | PutOff)]
        try:
            await self.record([self._finding(n, DEAD) for n in dead])
        except HandBack as error:
            log.warning("dead_not_written", part=self.job.name, why=str(error))

    async def give_back(self, patience_s: float) -> None:
        """Write that the delivery ended in good order though not done, and that what was not begun is free."""
        if not self._is_begun:
            return  # nothing of it is written, and what earlier starts left must stand
        unsent = list(self._claiming)
        try:
            await self._patiently(lambda: self._ledger.end(self._page, unsent=unsent, broken=self.broken), patience_s)
        except HandBack as error:
            log.warning("end_not_written", part=self.job.name, why=str(error))

    def forget(self) -> None:
        """Renew its claims no longer."""
        self._ledger.forget(self._page)

    async def _beside_tombstones(self, step: Awaitable[T], ns: Sequence[int]) -> T:
        """Take a step of the ledger, and look who was erased meanwhile: both in one round trip, the look after it."""
        addresses = {n: self.recipients[n].address for n in ns}
        answer, erased_since = await asyncio.gather(step, self._bench.tombstones.find(addresses, self.job.accepted_at))
        self._erased |= erased_since
        return answer

    def _put_off(self, n: int, entry: PutOff) -> None:
        if entry.handed:
            return
        self._handed.append(n)
        was_in_flight = entry.outcome.code == CLAIM_EXPIRED
        broken = self._suspects.get(n, max(self.broken, 1) if was_in_flight else 0)
        # On its last chance it comes alone: whoever was in flight beside what kills must not die of it.
        apart = was_in_flight and broken >= BREAKS - 1
        self.copies.add_next(
            self.recipients[n],
            entry.step_s,
            uses_attempt=entry.uses_attempt,
            asks=entry.asks,
            broken=broken,
            apart=apart,
        )

    def _finding(self, n: int, verdict: Verdict) -> Finding:
        outcome = Outcome(
            request=self.job.request,
            n=n,
            attempt=self.job.attempt,
            status=verdict.status,
            provider=verdict.provider,
            provider_id=verdict.provider_id,
            code=verdict.code,
            detail=verdict.detail,
            at=datetime.fromtimestamp(self.now_s(), UTC),
        )
        return Finding(
            outcome, verdict.step_s, uses_attempt=verdict.uses_attempt, doubtful=verdict.doubtful, asks=verdict.asks
        )

    async def _patiently(
        self, call: Callable[[], Awaitable[T]], patience_s: float, while_: Callable[[], bool] = lambda: True
    ) -> T:
        until, tries = self._clock() + patience_s, 0
        while True:
            try:
                return await call()
            except RedisUnavailable as error:
                self._bench.gate.away(str(error))
                if self._clock() >= until or not while_():
                    raise HandBack(f"Redis is away: {error}") from error
            await asyncio.sleep(backoff_s(tries, self._bench.random.random()))
            tries += 1
