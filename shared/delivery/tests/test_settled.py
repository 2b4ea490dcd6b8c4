"""A settled chunk is eight bytes of a set: no copy that comes late is sent again, whenever it comes."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from imsg_contract.wire import Job, Outcome, Status
from imsg_delivery.claims.cancelling import Cancellation, ClaimsCanceller
from imsg_delivery.claims.records import Claimed, Free, Record, Settled, Transition
from imsg_delivery.claims.settled import COMPACT_AFTER_S, LOOK_AFTER_S, SettledChunk, bucket_of, digest_of
from imsg_delivery.claims.store import BORN_KEY, SENT_BEFORE, ChunkRecord, Claims
from imsg_runtime.redis import Redis, RedisUnavailable, connect
from imsg_testing.proxy import Proxy
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import job as make_job

OLD = timedelta(seconds=COMPACT_AFTER_S + 5)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Open Redis."""
    async with connect(valkey_url) as redis:
        yield redis
        await redis.call("DEL", BORN_KEY)


@pytest.fixture
def claims(redis: Redis) -> Claims:
    """Make claims."""
    return Claims(redis)


def chunk(count: int = 1, age: timedelta = OLD) -> Job:
    """Make a job of so long ago."""
    accepted_at = datetime.now(UTC) - age
    return make_job(count, accepted_at=accepted_at, expires_at=accepted_at + timedelta(days=1))


def view(job: Job, owner: str, **fields: object) -> ChunkRecord:
    """Return the chunk's record for one delivery of it."""
    return ChunkRecord(job.model_copy(update=fields), owner, is_whole=job.chunk is None)


def end(job: Job, n: int, status: Status = Status.SENT) -> Transition:
    """End a recipient."""
    told = Outcome(request=job.request, n=n, attempt=1, status=status, detail="250 Ok", at=datetime.now(UTC))
    return Transition(told, step_s=10 if status is Status.RETRYING else None)


def settle(chunk: ChunkRecord, *, is_sure: bool) -> SettledChunk:
    """Return a settled chunk."""
    return SettledChunk(chunk.accepted_s, chunk.name, chunk.key, chunk.keep_until_ms, is_sure)


async def send(claims: Claims, job: Job) -> None:
    """Settle a single message, and queue its compaction."""
    mine = view(job, "sends")
    assert isinstance(await claims.begin_and_claim(mine, 0), Free)
    await claims.advance(mine, [end(job, 0)])
    claims.ended.append(settle(mine, is_sure=True))


async def carry_out(claims: Claims, job: Job, owner: str, *transitions: Transition) -> None:
    """Settle a chunk in steps."""
    mine = view(job, owner)
    ns = [transition.outcome.n for transition in transitions]
    await claims.begin(mine, [recipient.n for recipient in job.recipients], alone=False)
    await claims.advance(mine, [], ns)
    await claims.advance(mine, transitions)
    await claims.end(mine)
    claims.ended.append(settle(mine, is_sure=False))


async def read_records(claims: Claims, job: Job, owner: str = "late") -> dict[int, Record]:
    """Return the records that a late copy of a chunk reads before it ends."""
    mine = view(job, owner)
    begun = await claims.begin(mine, [recipient.n for recipient in job.recipients], alone=True)
    await claims.end(mine)
    return dict(begun.records)


async def is_kept(redis: Redis, job: Job) -> tuple[bool, bool]:
    """Return whether a chunk has a hash, and whether the set has it."""
    bucket = bucket_of(job.accepted_at.timestamp())
    return (
        bool(await redis.call("EXISTS", f"imsg:ledger:{job.name}")),
        bool(await redis.call("SISMEMBER", bucket, digest_of(job.name))),
    )


async def test_what_was_sent_is_eight_bytes_for_as_long_as_its_hash_would_have_lived(
    claims: Claims, redis: Redis
) -> None:
    jobs = [chunk() for _ in range(20)]
    longest = jobs[0].model_copy(update={"expires_at": jobs[0].expires_at + timedelta(days=1)})
    for queued_job in (longest, *jobs[1:]):
        await send(claims, queued_job)
    assert await claims.compaction.compact() == 20
    assert [await is_kept(redis, job) for job in jobs] == [(False, True)] * 20
    buckets = {bucket_of(job.accepted_at.timestamp()) for job in jobs}
    assert {await redis.call("OBJECT", "ENCODING", bucket) for bucket in buckets} == {b"intset"}
    left_s = int(await redis.call("PTTL", bucket_of(longest.accepted_at.timestamp()))) / 1000
    assert left_s == pytest.approx(longest.expires_at.timestamp() + 2 * 86_400 - time.time(), abs=60)


async def test_a_late_copy_of_a_single_message_is_settled_and_leaves_nothing(claims: Claims, redis: Redis) -> None:
    job = chunk()
    await send(claims, job)
    await claims.compaction.compact()
    record = await claims.begin_and_claim(view(job, "late"), 0)
    assert isinstance(record, Settled)
    assert (record.outcome.status, record.outcome.detail) == (Status.SENT, SENT_BEFORE)
    assert await is_kept(redis, job) == (False, True)
    records = await read_records(claims, job)
    assert isinstance(records[0], Settled)
    assert await is_kept(redis, job) == (False, True), "nor do its steps"


async def test_a_clock_of_ours_that_is_behind_changes_nothing(claims: Claims, redis: Redis) -> None:
    job = chunk()
    await send(claims, job)
    await claims.compaction.compact()
    behind = Claims(redis, unix_clock=lambda: 0.0)
    assert isinstance(await behind.begin_and_claim(view(job, "late"), 0), Settled)
    assert isinstance((await read_records(behind, job))[0], Settled)


async def test_what_is_young_keeps_its_hash(claims: Claims, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imsg_delivery.claims.settled.COMPACT_AFTER_S", 600.0)  # it grows no older than that meanwhile
    job = chunk(age=timedelta(seconds=LOOK_AFTER_S + 1))
    await send(claims, job)
    assert await claims.compaction.compact() == 0
    assert await is_kept(redis, job) == (True, False)
    assert (await read_records(claims, job))[0] == Settled(
        (await claims.advance(view(job, "x"), [end(job, 0)]))[0].outcome  # type: ignore[union-attr]
    )


async def test_a_delivery_during_the_compaction_finds_the_hash_or_the_set(claims: Claims, redis: Redis) -> None:
    jobs = [chunk() for _ in range(200)]
    for job in jobs:
        await send(claims, job)

    async def begin(job: Job, number: int) -> Record | None:
        await asyncio.sleep(0.0001 * number)
        return await claims.begin_and_claim(view(job, f"late{number}"), 0)

    compacting = asyncio.create_task(claims.compaction.compact())
    records = await asyncio.gather(*(begin(job, number) for number, job in enumerate(jobs)))
    await compacting
    assert not [record for record in records if isinstance(record, Claimed)]
    assert [await is_kept(redis, job) for job in jobs] == [(False, True)] * 200


async def test_a_claim_of_a_worker_that_died_before_it_read_the_set_is_ignored(claims: Claims, redis: Redis) -> None:
    job = chunk()
    await send(claims, job)
    await claims.compaction.compact()
    await redis.call("HSET", f"imsg:ledger:{job.name}", "0", f"c died {int(time.time() * 1000) - 1} 0 1 0")
    assert isinstance((await read_records(claims, job))[0], Settled)


async def test_of_a_list_what_ended_otherwise_keeps_its_words(claims: Claims, redis: Redis) -> None:
    job = chunk(4)
    await carry_out(claims, job, "a", *(end(job, n, Status.FAILED if n == 2 else Status.SENT) for n in range(4)))
    assert await claims.compaction.compact() == 1
    assert sorted(await redis.call("HKEYS", f"imsg:ledger:{job.name}")) == [b"2", b"of"]
    records = await read_records(claims, job)
    told = {n: record.outcome.status.value for n, record in records.items() if isinstance(record, Settled)}
    assert told == {0: "sent", 1: "sent", 2: "failed", 3: "sent"}
    failed = records[2]
    assert isinstance(failed, Settled)
    assert failed.outcome.detail == "250 Ok"


async def test_what_waits_for_another_attempt_is_not_settled(claims: Claims, redis: Redis) -> None:
    job = chunk(2)
    await carry_out(claims, job, "a", end(job, 0), end(job, 1, Status.RETRYING))
    assert await claims.compaction.compact() == 0
    copy = job.model_copy(update={"chunk": 0, "recipients": job.recipients[1:], "fencing_token": 1})
    assert isinstance((await read_records(claims, copy))[1], Free)
    await carry_out(claims, copy, "b", end(job, 1))
    assert await claims.compaction.compact() == 1, "now all have ended"
    assert await is_kept(redis, job) == (False, True)


async def test_a_part_of_a_chunk_that_lost_its_hash_does_not_settle_the_rest(claims: Claims, redis: Redis) -> None:
    job = chunk(2)
    copy = job.model_copy(update={"chunk": 0, "recipients": job.recipients[:1], "fencing_token": 1})
    await carry_out(claims, copy, "b", end(job, 0))
    assert await claims.compaction.compact() == 0
    assert isinstance((await read_records(claims, job))[1], Free)
    assert (await is_kept(redis, job))[1] is False


async def test_who_is_at_it_again_keeps_the_hash(claims: Claims, redis: Redis) -> None:
    job = chunk(2)
    await carry_out(claims, job, "a", end(job, 0), end(job, 1))
    await claims.begin(view(job, "late"), [0, 1], alone=True)
    assert await claims.compaction.compact() == 0
    assert await is_kept(redis, job) == (True, False)


async def test_what_waited_when_a_worker_ended_keeps_its_hash_and_its_promise(claims: Claims, redis: Redis) -> None:
    job = chunk()
    await send(claims, job)
    restarted = Claims(redis)
    assert await restarted.compaction.compact() == 0
    assert await restarted.begin_and_claim(view(job, "late"), 0) is None
    records = await read_records(restarted, job)
    assert isinstance(records[0], Settled)
    assert records[0].outcome.detail == "250 Ok"


async def test_a_cancel_that_races_compaction_cancels_nothing_that_was_sent(claims: Claims, redis: Redis) -> None:
    await redis.call("SET", BORN_KEY, 1)
    canceller = ClaimsCanceller(redis)
    singles, lists = [chunk() for _ in range(60)], [chunk(3) for _ in range(60)]
    for queued_job in singles:
        await send(claims, queued_job)
    for queued_job in lists:
        await carry_out(
            claims, queued_job, "sends", end(queued_job, 0), end(queued_job, 1, Status.FAILED), end(queued_job, 2)
        )

    async def cancel(job: Job) -> Cancellation:
        await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311  before, while and after it is compacted
        return await canceller.cancel(job, [recipient.n for recipient in job.recipients], datetime.now(UTC))

    compacting = asyncio.create_task(claims.compaction.compact())
    found = await asyncio.gather(*map(cancel, singles + lists))
    await compacting
    for job, said in zip(singles + lists, found, strict=True):
        assert (sorted(said.settled), said.cancelled) == ([recipient.n for recipient in job.recipients], [])
        assert all(
            isinstance(record, Settled) and record.outcome.status in (Status.SENT, Status.FAILED)
            for record in (await read_records(claims, job)).values()
        )


def test_what_an_older_worker_compacted_is_found() -> None:
    """The names in Redis: a version that named them otherwise would send its predecessor's messages again."""
    assert bucket_of(1_764_000_019.9) == "imsg:ledger:settled/176400001"
    assert digest_of("0123456789abcdef0123456789abcdef/0") == -8934264948221478943


async def test_the_old_are_compacted_whatever_young_ones_wait_beside_them(claims: Claims, redis: Redis) -> None:
    young, old = chunk(age=timedelta(0)), [chunk() for _ in range(3)]
    for job in (*old, young):
        await send(claims, job)
    assert await claims.compaction.compact() == 3
    assert [await is_kept(redis, job) for job in old] == [(False, True)] * 3
    assert await is_kept(redis, young) == (True, False)


async def test_of_more_than_may_wait_the_hashes_stay_until_they_expire(
    claims: Claims, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsg_delivery.claims.settled.MAX_WAITING", 3)
    young, old = [chunk(age=timedelta(0)) for _ in range(2)], [chunk() for _ in range(2)]
    for job in young:
        await send(claims, job)
    assert await claims.compaction.compact() == 0
    for job in old:
        await send(claims, job)
    assert await claims.compaction.compact() == 1
    assert sorted([await is_kept(redis, job) for job in old]) == [(False, True), (True, False)]


async def test_what_found_redis_away_is_compacted_when_it_is_back(valkey_url: str, redis: Redis) -> None:
    parts = urlsplit(valkey_url)
    assert parts.hostname is not None
    assert parts.port is not None
    job = chunk()
    async with (
        Proxy(parts.hostname, parts.port).running() as proxy,
        connect(proxy.url(valkey_url)) as through,
    ):
        claims = Claims(through)
        await send(claims, job)
        proxy.cuts_at = str(digest_of(job.name)).encode()
        with pytest.raises(RedisUnavailable):
            await claims.compaction.compact()
        assert (await is_kept(redis, job))[0]
        assert await claims.compaction.compact() == 1
    assert await is_kept(redis, job) == (False, True)


async def test_a_worker_compacts_what_it_has_settled_while_it_lives(claims: Claims, redis: Redis) -> None:
    job = chunk()
    await send(claims, job)
    compacting = asyncio.create_task(claims.compaction.keep_compacting())

    async def is_compacted() -> bool:
        return await is_kept(redis, job) == (False, True)

    try:
        await eventually(is_compacted)
    finally:
        compacting.cancel()
