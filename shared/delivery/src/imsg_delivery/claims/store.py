"""The claims of a chunk's recipients: one Redis hash per chunk, changed by atomic scripts, with Redis' clock.

A hash `imsg:ledger:REQUEST/FIRST` has for each recipient `n` one of

- `c OWNER UNTIL_MS TOKEN FIRST_MS DOUBT`, a claim: its worker is sending, or died if UNTIL_MS has passed;
- `f FIRST_MS DOUBT`, a claim that was released before anything was sent;
- `r TOKEN FIRST_MS DOUBT HANDED USES STEP JSON`, delayed: its attempt ended, a copy with TOKEN + 1 brings the next.
  USES is 1 where that is another attempt, 0 after a block, 2 for a status query;
- `s RANK JSON`, settled: the final outcome;

and for each delivery in progress `start/TOKEN/FIRST` → `COUNT SETTLED`: how often it was begun without an orderly end,
and how many of its recipients were settled when it was begun last; beside it `by/TOKEN/FIRST` → the owners of these
starts, and `back/OWNER` for an owner that ended in good order later.
A new single message is begun and claimed in one step without a start; its claim, if left behind, counts as one start.
`of` → how many recipients the chunk has, where that is known.
Once all recipients are settled the hash is deleted, and a digest of the chunk's name replaces it (`settled`).
`imsg:ledger:stopped/PROCESS` records that a process was killed because it was suspended: its starts do not count
(ADR 15). TOKEN is the job's fencing token.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from imsg_contract.wire import RANKS, Job, Outcome, Status
from imsg_delivery.claims.records import Busy, Delayed, Free, Lapsed, Record, Settled, Stale, Transition
from imsg_delivery.claims.scripts import load
from imsg_delivery.claims.settled import LOOK_AFTER_S, Compaction, settled_read
from imsg_people.lookups import NO_EXCLUSIONS, Exclusions, RecipientLookup
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Argument, Read, Redis, RedisRefused, RedisUnavailable, Script

log = logger(__name__)

LEASE_S = 30.0
"""How long a claim lasts without renewal: a pause of the process or of Redis must not cause a duplicate."""

RENEWALS = 3
"""Renewals in the time of a lease, so that one or two may fail."""

KEEP_S = 2 * 86_400
"""How long claims outlive their job's expiry: late copies of the job must still find them."""

BREAKS = 3
"""Starts without an orderly end or anything settled after which a delivery is dead."""

KEY = "imsg:ledger:"
"""The prefix of a chunk's name."""

BORN_KEY = "imsg:ledger:born"

SENT_BEFORE = "It was sent before; what the provider said then is not kept any more."

STOPPED_KEY = "imsg:ledger:stopped/"
"""The prefix of a process' name."""


class ChunkRecord:
    """One delivery's view of its chunk's hash. `owner` identifies the delivery.

    Another delivery of the same message has another owner. `is_whole`: the job has every recipient of the chunk.
    """

    __slots__ = (
        *("accepted_s", "attempt", "is_whole", "keep_until_ms", "key", "name"),
        *("owner", "recipients", "request", "start", "token"),
    )

    def __init__(self, job: Job, owner: str, *, is_whole: bool = False) -> None:
        self.owner = owner
        self.name = f"{job.request}/{job.recipients[0].n if job.chunk is None else job.chunk}"
        """The chunk's name in logs."""
        self.key = f"{KEY}{self.name}"
        self.request = job.request
        self.recipients = len(job.recipients)
        self.is_whole = is_whole
        self.attempt = job.attempt
        self.token = job.fencing_token
        """The fencing token: copies of the job with a lower one must ignore the recipient."""
        self.start = start_field(job)
        """The field that counts this delivery's starts."""
        self.accepted_s = job.accepted_at.timestamp()
        """The same in every copy, also where a scheduled job was released twice: the settled chunk is found by it."""
        self.keep_until_ms = round((job.expires_at.timestamp() + KEEP_S) * 1000)

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same delivery of the same copy."""
        return isinstance(other, ChunkRecord) and (self.owner, self.key, self.start) == (
            other.owner,
            other.key,
            other.start,
        )

    def __hash__(self) -> int:
        """Hash by owner: no two deliveries share one."""
        return hash(self.owner)


def owner_of(process: str, worker: str) -> str:
    """Return the prefix of a worker's owners: its process (empty: unwatched) and its name in it."""
    return f"{process}.{worker}:"


def process_of(owner: str) -> str:
    """Return the process of an owner."""
    return owner.partition(".")[0]


def start_field(job: Job) -> str:
    """Return the field that counts the starts of a copy, which its token and first recipient identify."""
    return f"start/{job.fencing_token}/{job.recipients[0].n}"


@dataclass(frozen=True, slots=True)
class BeginReply:
    """The claims' reply to the begin of a delivery."""

    now_s: float
    """Redis' clock (Unix, seconds)."""
    answer: Literal["go", "alone", "dead"]
    """`alone`: it broke a worker before, and must be begun in isolation; nothing is recorded yet."""
    broken: int
    """How often in a row it was begun before without an orderly end and without progress."""
    by: Sequence[str]
    """The owners of earlier starts without an orderly end, as far as they are known, progress or not."""
    known: bool
    """Whether the claims had a record of this chunk."""
    records: Mapping[int, Record]


class Claims:
    """The chunk records of one worker, and the leases it holds in them.

    Every call raises RedisUnavailable, and may be repeated. Calls made in the same turn of the loop share a round trip.
    """

    def __init__(
        self,
        redis: Redis,
        lease_s: float = LEASE_S,
        stopped: Sequence[str] = (),
        *,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._unix_clock = unix_clock
        """Chooses which reads to add; all decisions use Redis' clock."""
        self._lease_ms = round(lease_s * 1000)
        self._stopped = tuple(stopped)
        self._held: dict[ChunkRecord, set[int]] = {}
        self._compaction = Compaction(redis)
        self.ended = self._compaction.ended
        """Append a chunk here once all its recipients are settled and published: its hash may be compacted."""
        names = (
            "begin",
            "begin_and_claim",
            "finish",
            "unclaim",
            "advance",
            "renew",
            "end",
            "copy_breaks",
            "data_since",
        )
        self._scripts = {name: load(name) for name in names}

    async def begin(
        self, record: ChunkRecord, ns: Sequence[int], *, alone: bool, lookup: RecipientLookup | None = None
    ) -> BeginReply:
        """Record that a delivery is begun; return the records of its recipients, with what `lookup` finds of them.

        A process that was ended because it stood still (SIGSTOP) does not count as broken by this delivery.
        """
        begun = await self._begin(record, ns, "", alone=alone, lookup=lookup)
        if begun.answer != "go" and (excused := await self._find_excused(begun.by)):
            return await self._begin(record, ns, " ".join(excused), alone=alone, lookup=lookup)
        return begun

    async def _begin(
        self,
        record: ChunkRecord,
        ns: Sequence[int],
        excused: str,
        *,
        alone: bool,
        lookup: RecipientLookup | None,
    ) -> BeginReply:
        of = record.recipients if record.is_whole else 0
        arguments: list[Argument] = [record.token, record.owner, record.start, int(alone), BREAKS]
        arguments += [record.keep_until_ms, of, excused, *ns]
        is_old = self._is_old(record, self._unix_clock())
        reply, held, is_settled = await self._step("begin", record, arguments, lookup, finds_settled=is_old)
        now_ms, answer, broken, known, by, *fields_of_messages = reply
        records = {n: _read(record.request, n, fields, held) for n, fields in zip(ns, fields_of_messages, strict=True)}
        if is_settled or (not is_old and await self._find_settled(record, int(now_ms) / 1000)):
            # Other records were left by a worker that began the delivery and died before it read the digest.
            for n in (n for n, record in records.items() if not isinstance(record, Settled)):
                records[n] = _settle_compacted(record, n, int(now_ms) / 1000)
        names = tuple(by.decode().split())
        return BeginReply(int(now_ms) / 1000, answer.decode(), int(broken), names, bool(known), records)

    async def begin_and_claim(
        self, record: ChunkRecord, n: int, lookup: RecipientLookup | None = None
    ) -> Free | Settled | None:
        """Begin the delivery of a single message and claim it, in one step.

        Returns None where the claims have a record of it, an earlier start, claim or end: then call `begin`.
        """
        arguments: list[Argument] = [record.token, record.owner, self._lease_ms, record.keep_until_ms, n]
        is_old = self._is_old(record, self._unix_clock())
        reply, held, is_settled = await self._step("begin_and_claim", record, arguments, lookup, finds_settled=is_old)
        if not (now_ms := int(reply)):
            return None
        if is_settled or (not is_old and await self._find_settled(record, now_ms / 1000)):
            await self._step("unclaim", record, [record.owner, n])
            return _settle_compacted(record, n, now_ms / 1000)
        self._held[record] = {n}
        return Free(n, now_ms / 1000, doubtful=False, **_find_exclusions(n, held))

    def _is_old(self, record: ChunkRecord, now_s: float) -> bool:
        """Return whether the chunk is old enough to be compacted."""
        return now_s >= record.accepted_s + LOOK_AFTER_S

    async def _find_settled(self, record: ChunkRecord, now_s: float) -> bool:
        """Return whether a chunk is settled, if it is old enough by Redis' clock."""
        if not self._is_old(record, now_s):
            return False
        read = settled_read(record.name, record.accepted_s)
        return bool((await self._call(read.command, read.key, *read.fields))[0])

    @property
    def compaction(self) -> Compaction:
        """The compaction of settled chunks."""
        return self._compaction

    async def _find_excused(self, owners: Sequence[str]) -> list[str]:
        """Return the owners whose process was killed because it was suspended."""
        return [owner for owner in owners if await self._call("EXISTS", STOPPED_KEY + process_of(owner))]

    async def excuse_stopped(self) -> None:
        """Record the processes before this one that were only suspended, for the workers that take over their jobs."""
        while self._stopped:
            await self._call("SET", STOPPED_KEY + self._stopped[0], 1, "EX", KEEP_S)
            self._stopped = self._stopped[1:]

    async def advance(
        self,
        record: ChunkRecord,
        transitions: Sequence[Transition],
        claim: Sequence[int] = (),
        *,
        ends: bool = False,
        lookup: RecipientLookup | None = None,
    ) -> dict[int, Record]:
        """Write transitions, then claim more recipients, in one step, so that a call costs one round trip.

        Returns for a transition the record after it: an earlier outcome of higher rank, or Stale where another worker
        has taken the recipient over. Returns for a claim Free or Lapsed where it succeeded, else why not. With `ends`
        the delivery's start is removed too.
        """
        if len(transitions) == 1 and transitions[0].step_s is None and not (claim or ends):
            return {transitions[0].outcome.n: await self._finish(record, transitions[0])}
        start = record.start if ends else ""
        arguments: list[Argument] = [record.token, record.owner, start, self._lease_ms, KEEP_S * 1000]
        arguments += [record.recipients if record.is_whole else 0, len(transitions)]
        for transition in transitions:
            arguments += _write(transition)
        reply, held, _ = await self._step("advance", record, [*arguments, *claim], lookup)
        answers: dict[int, Record] = {}
        for transition, result in zip(transitions, reply, strict=False):
            n = transition.outcome.n
            answers[n] = _record_of(transition) if result == b"k" else _read(record.request, n, result)
        self._drop_leases(record, answers)
        for n, fields in zip(claim, reply[len(transitions) :], strict=True):
            answers[n] = _read(record.request, n, fields, held)
            if isinstance(answers[n], Free | Lapsed):
                self._held.setdefault(record, set()).add(n)
        return answers

    async def _finish(self, record: ChunkRecord, transition: Transition) -> Record:
        """Write that one recipient has ended, as `advance` does, in the shortest step."""
        n, rank, body = _write(transition)
        found = await self._run(self._scripts["finish"], record.key, [KEEP_S * 1000, n, rank, body])
        self._drop_leases(record, [n])
        return _record_of(transition) if found == b"k" else _read(record.request, n, found)

    async def end(
        self, record: ChunkRecord, *, handed: Sequence[int] = (), unsent: Sequence[int] = (), broken: int = 0
    ) -> None:
        """End a delivery in good order: remove its start, and mark the recipients `handed` to a confirmed copy.

        `unsent` recipients may have been claimed and were not begun. `broken` is the count that the delivery began
        with, if it is requeued and will be begun again.
        """
        arguments: list[Argument] = [record.token, record.owner, record.start, broken, len(handed), *handed, *unsent]
        await self._step("end", record, arguments)

    async def copy_breaks(self, record: ChunkRecord, starts: Mapping[str, int], by: Sequence[str] = ()) -> None:
        """Write for copies, before they can come back, how often their recipients broke a worker, and which workers."""
        words: list[Argument] = []
        for start, broken in starts.items():
            words += [start, broken, " ".join(by[-broken:])]
        await self._step("copy_breaks", record, [KEEP_S * 1000, *words])

    async def read_data_since_s(self) -> float:
        """Return since when Redis has kept its data (Unix, seconds): claims of older jobs may be lost."""
        return int(await self._run(self._scripts["data_since"], BORN_KEY, [])) / 1000

    def forget(self, record: ChunkRecord) -> None:
        """Stop renewing the leases of a delivery: this worker has ended it."""
        self._held.pop(record, None)

    async def keep_leases(self) -> None:
        """Renew every lease held, all in one round trip, as long as the worker lives."""
        problem = RecurringProblem(log, "leases_not_renewed")
        while True:
            await asyncio.sleep(self._lease_ms / 1000 / RENEWALS)
            renewals = [
                self._step("renew", record, [record.token, record.owner, self._lease_ms, KEEP_S * 1000, *ns])
                for record, ns in self._held.items()
            ]
            for renewed in await asyncio.gather(*renewals, return_exceptions=True):
                if isinstance(renewed, RedisUnavailable):
                    problem.report(renewed)
                    break
                if isinstance(renewed, BaseException):
                    raise renewed
                problem.clear()

    async def _call(self, *words: Argument) -> Any:  # noqa: ANN401  Redis' reply
        try:
            return await self._redis.call(*words)
        except RedisRefused as refused:
            raise RedisUnavailable(str(refused)) from refused

    async def _step(
        self,
        name: str,
        record: ChunkRecord,
        arguments: Sequence[Argument],
        lookup: RecipientLookup | None = None,
        *,
        finds_settled: bool = False,
    ) -> tuple[Any, Exclusions, bool]:
        """Run a script; in the same round trip read exclusions and whether the chunk is settled."""
        script = self._scripts[name]
        reads: list[Read] = [] if lookup is None else list(lookup.reads)
        if finds_settled:
            reads.append(settled_read(record.name, record.accepted_s))
        if not reads:
            return await self._run(script, record.key, arguments), NO_EXCLUSIONS, False
        try:
            reply, replies = await self._redis.run_and_read(script, [record.key], arguments, reads)
            is_settled = finds_settled and bool(replies.pop()[0])
            held = NO_EXCLUSIONS if lookup is None or replies == lookup.empty_replies else await lookup.read(replies)
            # It came after whatever the mirror has lost; what was released since may have been cancelled before.
            if held.cancelled is None and record.accepted_s > await self.read_data_since_s():
                held = replace(held, cancelled=())
        except RedisRefused as refused:
            raise _translate(refused) from refused.__cause__
        return reply, held, is_settled

    async def _run(self, script: Script, key: str, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401  Redis' reply
        try:
            return await self._redis.run(script, [key], arguments)
        except RedisRefused as refused:
            raise _translate(refused) from refused.__cause__

    def _drop_leases(self, record: ChunkRecord, ns: Iterable[int]) -> None:
        if held := self._held.get(record):
            held.difference_update(ns)
            if not held:
                del self._held[record]


def _translate(refused: RedisRefused) -> RedisRefused | RedisUnavailable:
    """Translate a refusal: a server that is loading, full or a replica is unavailable; a script's error is a bug."""
    if str(refused).removeprefix("ERR ").startswith("user_script:"):
        return refused
    return RedisUnavailable(str(refused))


def _settle_compacted(record: ChunkRecord, n: int, now_s: float) -> Settled:
    """Make the record of a recipient whose hash was compacted: it was sent."""
    at = datetime.fromtimestamp(now_s, UTC)
    outcome = Outcome(
        request=record.request, n=n, attempt=record.attempt, status=Status.SENT, detail=SENT_BEFORE, at=at
    )
    return Settled(outcome)


def _write(transition: Transition) -> tuple[int, int, str]:
    """Make (n, rank, the end of its record); rank -1 where it is delayed, whose first try only the hash knows."""
    outcome = transition.outcome
    body = outcome.model_dump_json(exclude={"request", "n"}, exclude_none=True)
    if transition.step_s is None:
        return outcome.n, RANKS[outcome.status], body
    uses = 2 if transition.queries_status else int(transition.uses_attempt)
    return outcome.n, -1, f"{int(transition.doubtful)} 0 {uses} {transition.step_s} {body}"


def _record_of(transition: Transition) -> Record:
    """Return the record of a recipient after a transition."""
    if transition.step_s is None:
        return Settled(transition.outcome)
    return Delayed(
        transition.outcome,
        transition.step_s,
        transition.uses_attempt,
        handed=False,
        queries_status=transition.queries_status,
    )


def _read(request: str, n: int, fields: bytes, held: Exclusions = NO_EXCLUSIONS) -> Record:
    """Read a script's reply for a recipient. Raises ValueError for what this version cannot read."""
    kind, _, rest = fields.partition(b" ")
    match kind:
        case b"f":
            first_ms, doubt = rest.split()
            return Free(n, int(first_ms) / 1000, doubtful=doubt != b"0", **_find_exclusions(n, held))
        case b"e":
            first_ms, _, owner = rest.partition(b" ")
            return Lapsed(n, int(first_ms) / 1000, owner=owner.decode(), **_find_exclusions(n, held))
        case b"b":
            return Busy(int(rest) / 1000)
        case b"x":
            return Stale()
        case b"s":
            return Settled(read_outcome(request, n, rest.split(b" ", 1)[1]))
        case b"r":
            _token, _first, _doubt, handed, uses, step_s, body = rest.split(b" ", 6)
            return Delayed(
                read_outcome(request, n, body), int(step_s), uses == b"1", handed == b"1", queries_status=uses == b"2"
            )
    raise ValueError(f"the claims hold for {request}-{n} what this version can't read: {fields[:40]!r}")


def _find_exclusions(n: int, held: Exclusions) -> Mapping[str, Any]:
    """Return the fields of a record that say why a recipient is excluded."""
    cancelled = None if held.cancelled is None else n in held.cancelled
    return {"erased": n in held.erased, "suppressed": held.suppressed.get(n, ""), "cancelled": cancelled}


def read_outcome(request: str, n: int, body: bytes) -> Outcome:
    """Read an outcome as a record of the claims holds it."""
    fields: dict[str, Any] = json.loads(body)
    return Outcome(request=request, n=n, **fields)
