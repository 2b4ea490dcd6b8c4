"""Erasing a person from the claims: the words of providers about them go, what stands of their message stays."""

import secrets
from datetime import UTC, datetime

from imsg_contract.wire import Outcome, Status
from imsg_delivery.claims import erasure
from imsg_delivery.claims.records import Delayed, Settled, Transition
from imsg_delivery.claims.store import ChunkRecord, Claims
from imsg_runtime.redis import Redis
from imsg_testing.jobs import make_job

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)


def told(request: str, n: int, status: Status) -> Outcome:
    """Return an outcome in whose words a person is named."""
    return Outcome(request=request, n=n, attempt=2, status=status, code="550", detail="no zhang.san here", at=NOW)


async def test_every_chunk_is_found_once_with_its_request_and_no_other_key(redis: Redis) -> None:
    requests = [secrets.token_hex(16) for _ in range(3 * erasure.AT_ONCE)]  # several steps of a scan
    keys = {f"imsg:ledger:{request}/{n % 12}": request for n, request in enumerate(requests)}
    others = ["imsg:ledger:settled/176400000", "imsg:ledger:born", f"imsg:ledger:{requests[0]}/0/more"]
    for key in (*keys, *others):
        await redis.call("HSET", key, "0", "")
    batches = [batch async for batch in erasure.chunks(redis)]
    for key in (*keys, *others):
        await redis.call("DEL", key)
    assert len(batches) > 1
    assert all(batches), "a step that finds nothing is no batch"
    found = [pair for batch in batches for pair in batch if pair[0] in keys or pair[0] in others]
    assert len(found) == len(keys)
    assert dict(found) == keys


async def test_words_about_a_person_go_and_their_status_and_others_words_stay(redis: Redis) -> None:
    claims = Claims(redis)
    job = make_job(*(f"{n}@example.com" for n in range(3)), chunk=0)
    mine, ns = ChunkRecord(job, "sends"), [0, 1, 2]
    await claims.begin(mine, ns, alone=False)
    await claims.advance(mine, [], ns)
    retry = Transition(told(job.request, 2, Status.RETRYING), step_s=600)
    await claims.advance(mine, [Transition(told(job.request, n, Status.FAILED)) for n in (0, 1)] + [retry])
    await claims.end(mine)

    await erasure.strip(redis, mine.key, (0, 2))

    later = ChunkRecord(job, "looks")
    records = (await claims.begin(later, ns, alone=True)).records
    await claims.end(later)
    erased, kept, waiting = records[0], records[1], records[2]
    assert isinstance(erased, Settled)
    assert (erased.outcome.status, erased.outcome.code, erased.outcome.detail) == (Status.FAILED, "erased", None)
    assert (erased.outcome.attempt, erased.outcome.at) == (2, NOW)
    assert isinstance(kept, Settled)
    assert (kept.outcome.code, kept.outcome.detail) == ("550", "no zhang.san here")
    assert isinstance(waiting, Delayed)
    assert b"zhang.san" not in b"".join(await redis.call("HMGET", mine.key, "0", "2"))
