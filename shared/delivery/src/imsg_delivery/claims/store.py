"""What of a part is claimed and what is settled: one Redis hash per part, changed in single steps by Redis' clock.

A hash `imsg:ledger:REQUEST/FIRST` holds for each recipient `n` one of

- `c OWNER UNTIL_MS TURN FIRST_MS DOUBT`, a claim: somebody is sending it, or died at it where UNTIL_MS has passed;
- `f FIRST_MS DOUBT`, a claim that was given back before anything was sent;
- `r TURN FIRST_MS DOUBT HANDED USES STEP JSON`, a put-off: its attempt ended, a copy of TURN + 1 brings the next.
  USES is 1 where that is another attempt, 0 after a block, 2 where the provider is only asked;
- `s RANK JSON`, an end: the outcome that stands;

and for each delivery that is being carried out `start/TURN/FIRST` → `COUNT SETTLED`: how often it was begun and not
brought to an orderly end, and how many of its recipients had ended when it was begun last; beside it
`by/TURN/FIRST` → the owners that are counted there, and `back/OWNER` where one ended in good order after all.
`imsg:ledger:stopped/PROCESS` says that a process was ended because it stood still: its owners count for nothing
(ADR 15). Versions before these fields count as they did, by COUNT alone.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from imsg_contract.wire import Job
from imsg_delivery.claims import scripts
from imsg_delivery.claims.records import Entry, Finding, Free, Lapsed, read
from imsg_runtime.observe import logger
from imsg_runtime.redis import Argument, Redis, RedisRefused, RedisUnavailable, Script

log = logger(__name__)

LEASE_S = 30.0
"""How long a claim stands without being renewed: a pause of the process or of Redis must not cost a duplicate."""

RENEWALS = 3
"""Renewals in the time of a lease, so that one or two may fail."""

KEEP_S = 2 * 86_400
"""How long a ledger outlives its job's expiry: copies that come late must still find it."""

BREAKS = 3
"""Starts without an orderly end or anything settled after which a delivery is dead."""

BORN_KEY = "imsg:ledger:born"

STOPPED_KEY = "imsg:ledger:stopped/"
"""Before the name of a process."""


@dataclass(frozen=True, slots=True)
class Page:
    """One delivery's view of its part's hash."""

    key: str
    request: str
    turn: int
    start: str
    """The field that counts this delivery's starts."""
    owner: str
    """Whoever carries out this one delivery; another taking of the same message is another owner."""
    expires_at: datetime

    @classmethod
    def of(cls, job: Job, owner: str) -> "Page":
        """Open the page of a part."""
        return cls(f"imsg:ledger:{job.name}", job.request, job.turn, start_field(job), owner, job.expires_at)


def owner_of(process: str, worker: str, number: int) -> str:
    """Name the owner of one taking: which process (empty: unwatched), which of its workers, which of its takings."""
    return f"{process}.{worker}:{number}"


def process_of(owner: str) -> str:
    """Say which process an owner is of."""
    return owner.partition(".")[0]


def start_field(job: Job) -> str:
    """Name the field that counts the starts of a copy: its turn and first recipient tell it from all others."""
    return f"start/{job.turn}/{job.recipients[0].n}"


@dataclass(frozen=True, slots=True)
class Begun:
    """What the ledger says to a delivery that wants to begin."""

    now_s: float
    """Redis' clock (Unix, seconds)."""
    answer: Literal["go", "alone", "dead"]
    """`alone`: it broke a worker before; nothing is recorded yet, come back when nothing else is in flight."""
    broken: int
    """How often in a row it was begun before without an orderly end and without progress."""
    by: Sequence[str]
    """Who began it before without an orderly end, as far as that is known; also where there was progress since."""
    known: bool
    """The ledger had something of this part."""
    entries: Mapping[int, Entry]


class Ledger:
    """The pages of one worker, and the leases it holds in them.

    Every call raises RedisUnavailable, and may be repeated.
    """

    def __init__(self, redis: Redis, lease_s: float = LEASE_S, stopped: Sequence[str] = ()) -> None:
        self._redis = redis
        self._lease_s = lease_s
        self._stopped = tuple(stopped)
        self._held: dict[Page, set[int]] = {}

    async def begin(self, page: Page, ns: Sequence[int], *, alone: bool) -> Begun:
        """Record that a delivery is begun, and see how its recipients stand.

        Who was stopped while it carried out this delivery, and ended for that alone, broke nothing.
        """
        begun = await self._begin(page, ns, "", alone=alone)
        if begun.answer != "go" and (excused := await self._excused(begun.by)):
            return await self._begin(page, ns, " ".join(excused), alone=alone)
        return begun

    async def _begin(self, page: Page, ns: Sequence[int], excused: str, *, alone: bool) -> Begun:
        keep_until_ms = round((page.expires_at.timestamp() + KEEP_S) * 1000)
        arguments: list[Argument] = [page.turn, page.owner, page.start, int(alone), BREAKS, keep_until_ms, excused]
        now_ms, answer, broken, known, by, *entries = await self._run(scripts.BEGIN, page, [*arguments, *ns])
        standing = {n: read(page.request, n, entry) for n, entry in zip(ns, entries, strict=True)}
        names = tuple(by.decode().split())
        return Begun(int(now_ms) / 1000, answer.decode(), int(broken), names, bool(known), standing)

    async def _excused(self, owners: Sequence[str]) -> list[str]:
        """Choose those whose process was ended because it stood still."""
        return [one for one in owners if await self._call("EXISTS", STOPPED_KEY + process_of(one))]

    async def excuse_stopped(self) -> None:
        """Say once of the processes before this one that they were merely stopped, for whoever takes over from them."""
        while self._stopped:
            await self._call("SET", STOPPED_KEY + self._stopped[0], 1, "EX", KEEP_S)
            self._stopped = self._stopped[1:]

    async def advance(
        self, page: Page, findings: Sequence[Finding], claim: Sequence[int] = (), *, ends: bool = False
    ) -> dict[int, Entry]:
        """Write what attempts ended with, then claim more recipients: one step, so that a call costs one round trip.

        Answers for a finding what stands now: the outcome that was there before where that one counts more, Stale
        where another has taken the recipient over. Answers for a claim Free or Lapsed where it is ours now, and
        otherwise why not. With `ends` the delivery's start is taken away too.
        """
        start, lease_ms = page.start if ends else "", round(self._lease_s * 1000)
        written = [word for finding in findings for word in finding.written()]
        arguments: list[Argument] = [page.turn, page.owner, start, lease_ms, KEEP_S * 1000, len(findings)]
        reply: list[bytes] = await self._run(scripts.ADVANCE, page, [*arguments, *written, *claim])
        answers: dict[int, Entry] = {}
        for finding, entry in zip(findings, reply, strict=False):
            n = finding.outcome.n
            answers[n] = finding.entry if entry == b"k" else read(page.request, n, entry)
        self._let_go(page, answers)
        for n, entry in zip(claim, reply[len(findings) :], strict=True):
            answers[n] = read(page.request, n, entry)
            if isinstance(answers[n], Free | Lapsed):
                self._held.setdefault(page, set()).add(n)
        return answers

    async def end(self, page: Page, *, handed: Sequence[int] = (), unsent: Sequence[int] = (), broken: int = 0) -> None:
        """Bring a delivery to an orderly end: its start is taken away, put-offs whose copies are kept are marked.

        `unsent` may have been claimed and was not begun; `broken` is what the delivery began with, where it is
        handed back and will be begun again.
        """
        arguments: list[Argument] = [page.turn, page.owner, page.start, broken, len(handed), *handed, *unsent]
        await self._run(scripts.END, page, arguments)

    async def carry(self, page: Page, starts: Mapping[str, int], by: Sequence[str] = ()) -> None:
        """Pass on to copies how often what they hold has broken a worker, and which, before they can come back."""
        words: list[Argument] = []
        for start, broken in starts.items():
            words += [start, broken, " ".join(by[-broken:])]
        await self._run(scripts.CARRY, page, [KEEP_S * 1000, *words])

    async def born_s(self) -> float:
        """Say since when Redis has kept its data (Unix, seconds): what is older may have lost its ledger."""
        return int(await self._answer(scripts.BORN, BORN_KEY, [])) / 1000

    def forget(self, page: Page) -> None:
        """Let the leases of a delivery run out: nobody works on it here any more."""
        self._held.pop(page, None)

    async def keep_leases(self) -> None:
        """Renew every lease held, all in one round trip, as long as the worker lives."""
        lease_ms = round(self._lease_s * 1000)
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            renewals = [
                self._run(scripts.RENEW, page, [page.turn, page.owner, lease_ms, KEEP_S * 1000, *ns])
                for page, ns in self._held.items()
            ]
            for renewed in await asyncio.gather(*renewals, return_exceptions=True):
                if isinstance(renewed, RedisUnavailable):
                    log.warning("leases_not_renewed", why=str(renewed))
                    break
                if isinstance(renewed, BaseException):
                    raise renewed

    async def _call(self, *words: Argument) -> Any:  # noqa: ANN401  Redis' reply
        try:
            return await self._redis.call(*words)
        except RedisRefused as refused:
            raise RedisUnavailable(str(refused)) from refused

    async def _run(self, script: Script, page: Page, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401  Redis' reply
        return await self._answer(script, page.key, arguments)

    async def _answer(self, script: Script, key: str, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        try:
            return await self._redis.run(script, [key], arguments)
        except RedisRefused as refused:
            if str(refused).removeprefix("ERR ").startswith("user_script:"):
                raise
            # A server that is loading, full or a replica may not write for now: to a worker it is away.
            raise RedisUnavailable(str(refused)) from refused

    def _let_go(self, page: Page, ns: Iterable[int]) -> None:
        if held := self._held.get(page):
            held.difference_update(ns)
            if not held:
                del self._held[page]
