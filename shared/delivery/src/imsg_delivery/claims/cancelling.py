"""Cancels messages in the claims: a message is sent or cancelled, never both.

The cancel record (`people.cancels`) is written before: a worker that claims a message afterwards reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from imsg_channels import find_chunk_size
from imsg_contract.chunks import first_of
from imsg_contract.wire import CANCELLED, RANKS, Job, Outcome, Status
from imsg_delivery.claims.scripts import load
from imsg_delivery.claims.settled import settled_read
from imsg_delivery.claims.store import BORN_KEY, KEEP_S, KEY, LEASE_S, read_outcome
from imsg_runtime.redis import Argument, Redis

REBUILT_S = LEASE_S
"""After a loss of Redis' data workers write the claims of what they are sending again: within so many seconds."""

EXTENSION = timedelta(days=1)
"""By how much blocks may have extended the job's life (promise 5)."""


class ClaimsLostError(Exception):
    """Redis lost its data a moment ago: who is sending what is not known yet."""


@dataclass(slots=True)
class Cancellation:
    """The result of a cancel: the numbers of the messages, by what happened to them."""

    cancelled: list[Outcome] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    """A worker is sending them."""
    doubtful: list[int] = field(default_factory=list)
    """The provider may have them."""


def make_outcome(job: Job, n: int, at: datetime) -> Outcome:
    """Make the outcome of a cancelled message."""
    detail = "It was cancelled before it could be sent."
    return Outcome(request=job.request, n=n, attempt=0, status=Status.CANCELLED, code=CANCELLED, detail=detail, at=at)


class ClaimsCanceller:
    """Cancels in the claims. Every call raises RedisUnavailable, RedisRefused, and may be repeated."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._cancel, self._data_since = load("cancel"), load("data_since")

    async def cancel(self, job: Job, ns: Sequence[int], at: datetime) -> Cancellation:
        """Cancel messages of a job, whose cancel record is written already. Raises ClaimsLostError."""
        await self._require_claims(job)
        size, chunks = 1 if job.is_cut_singly else find_chunk_size(job.method), dict[int, list[int]]()
        for n in ns:
            chunks.setdefault(first_of(n, size), []).append(n)
        cancellation = Cancellation()
        for first, members in chunks.items():
            await self._cancel_chunk(job, first, members, at, cancellation)
        return cancellation

    async def _cancel_chunk(
        self, job: Job, first: int, ns: Sequence[int], at: datetime, cancellation: Cancellation
    ) -> None:
        name = f"{job.request}/{first}"
        keep_until = job.expires_at + EXTENSION + timedelta(seconds=KEEP_S)
        body = make_outcome(job, 0, at).model_dump_json(exclude={"request", "n"}, exclude_none=True)
        entry = f"s {RANKS[Status.CANCELLED]} {body}"
        arguments: list[Argument] = [round(keep_until.timestamp() * 1_000), entry, *ns]
        # A compacted chunk has no record of what was sent; the set is written before its records go, so it is read
        # after them.
        is_settled = settled_read(name, job.accepted_at.timestamp())
        reply, (settled,) = await self._redis.run_and_read(self._cancel, [f"{KEY}{name}"], arguments, [is_settled])
        unknown = [n for n, answer in zip(ns, reply, strict=True) if answer == b"n"]
        if settled[0] and unknown:
            await self._redis.call("HDEL", f"{KEY}{name}", *unknown)
            cancellation.settled += unknown
        for n, answer in zip(ns, reply, strict=True):
            match answer[:1]:
                case b"k" | b"n" if not (settled[0] and answer == b"n"):
                    cancellation.cancelled.append(make_outcome(job, n, at))
                case b"b":
                    cancellation.busy.append(n)
                case b"d":
                    cancellation.doubtful.append(n)
                case b"s":
                    outcome = read_outcome(job.request, n, answer.split(b" ", 2)[2])
                    if outcome.status is Status.CANCELLED:
                        cancellation.cancelled.append(outcome)
                    else:
                        cancellation.settled.append(n)

    async def _require_claims(self, job: Job) -> None:
        since_ms = int(await self._redis.run(self._data_since, [BORN_KEY], []))
        seconds, _ = await self._redis.call("TIME")
        if job.queued_at.timestamp() * 1_000 < since_ms and int(seconds) < since_ms / 1_000 + REBUILT_S:
            raise ClaimsLostError
