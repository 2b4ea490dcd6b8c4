"""The claims: only the owner of a claim sends, settled recipients stay settled, and crashes are counted."""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from imsg_contract.wire import Job, Outcome, Status
from imsg_delivery.claims.records import Busy, Delayed, Free, Lapsed, Record, Settled, Stale, Transition
from imsg_delivery.claims.store import BeginReply, ChunkRecord, Claims, owner_of
from imsg_runtime.redis import Redis
from imsg_testing.jobs import make_job
from imsg_testing.waiting import eventually

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)


@pytest.fixture
def claims(redis: Redis) -> Claims:
    """Make claims with leases that last longer than a test."""
    return Claims(redis, lease_s=600)


@pytest.fixture
def brief(redis: Redis) -> Claims:
    """Return claims with short leases."""
    return Claims(redis, lease_s=0.05)


@pytest.fixture
def chunk() -> Job:
    """Make a chunk of three recipients, of a request of this test's own."""
    return make_job(*(f"{n}@example.com" for n in range(3)), chunk=0)


def view(chunk: Job, owner: str, token: int = 0) -> ChunkRecord:
    """Return the chunk's record for one delivery of it."""
    return ChunkRecord(chunk.model_copy(update={"fencing_token": token}), owner)


def outcome(chunk: Job, n: int, status: Status, attempt: int = 1) -> Outcome:
    """Make an outcome."""
    return Outcome(request=chunk.request, n=n, attempt=attempt, status=status, provider="trial", at=NOW)


def end(chunk: Job, n: int, status: Status = Status.SENT) -> Transition:
    """Return a transition to a final status."""
    return Transition(outcome(chunk, n, status))


def delay(chunk: Job, n: int, attempt: int = 1, *, doubtful: bool = False) -> Transition:
    """Return a transition to a retry."""
    return Transition(outcome(chunk, n, Status.RETRYING, attempt), step_s=10, doubtful=doubtful)


async def claim(claims: Claims, record: ChunkRecord, n: int) -> Record:
    """Claim one recipient."""
    return (await claims.advance(record, [], [n]))[n]


async def begin(claims: Claims, record: ChunkRecord, *, alone: bool = False) -> BeginReply:
    """Begin a delivery of all three recipients."""
    return await claims.begin(record, [0, 1, 2], alone=alone)


async def test_of_two_who_claim_at_once_one_gets_it(claims: Claims, chunk: Job) -> None:
    records = await asyncio.gather(*(claim(claims, view(chunk, f"owner{number}"), 0) for number in range(20)))
    assert sorted(type(record).__name__ for record in records) == ["Busy"] * 19 + ["Free"]
    assert all(540 < record.left_s <= 600 for record in records if isinstance(record, Busy))


async def test_claiming_again_what_is_ours_changes_nothing(claims: Claims, chunk: Job) -> None:
    """Redis may have carried out a step whose reply was lost."""
    mine = view(chunk, "mine")
    first, second = await claim(claims, mine, 0), await claim(claims, mine, 0)
    assert isinstance(first, Free)
    assert first == second


async def test_a_lapsed_claim_is_taken_over_to_be_judged_and_never_as_free(
    claims: Claims, brief: Claims, chunk: Job
) -> None:
    await claim(brief, view(chunk, "dead"), 0)

    async def has_lapsed() -> bool:
        return isinstance((await begin(claims, view(chunk, "next"))).records[0], Lapsed)

    await eventually(has_lapsed)
    successor = view(chunk, "next")
    assert isinstance(await claim(claims, successor, 0), Lapsed)
    assert isinstance(await claim(claims, successor, 0), Lapsed), "not even where the first reply was lost"
    assert isinstance(await claim(claims, view(chunk, "third"), 0), Busy)


async def test_a_renewed_lease_does_not_lapse(redis: Redis, chunk: Job) -> None:
    keeper, other = Claims(redis, lease_s=3), Claims(redis)
    await claim(keeper, view(chunk, "slow"), 0)
    renewing = asyncio.create_task(keeper.keep_leases())

    async def read_end() -> float:
        records = (await other.begin(view(chunk, "status_query"), [0, 1, 2], alone=True)).records
        await other.end(view(chunk, "status_query"))
        return time.time() + records[0].left_s if isinstance(records[0], Busy) else 0.0

    first = await read_end()

    async def is_renewed_twice() -> bool:
        return await read_end() > first + 1.5

    await eventually(is_renewed_twice)
    keeper.forget(view(chunk, "slow"))
    await eventually(lambda: _is(other, chunk, 0, Lapsed))
    renewing.cancel()


async def test_a_claim_in_flight_is_made_anew_after_a_flush(redis: Redis, chunk: Job) -> None:
    keeper = Claims(redis, lease_s=0.3)
    await claim(keeper, view(chunk, "slow"), 1)
    await redis.call("DEL", view(chunk, "slow").key)
    renewing = asyncio.create_task(keeper.keep_leases())
    await eventually(lambda: _is(Claims(redis), chunk, 1, Busy))
    assert await redis.call("PTTL", view(chunk, "slow").key) > 0
    renewing.cancel()


async def test_a_settled_recipient_is_reported_to_all_and_never_claimed(claims: Claims, chunk: Job) -> None:
    mine = view(chunk, "mine")
    await claim(claims, mine, 0)
    assert await claims.advance(mine, [end(chunk, 0)]) == {0: Settled(outcome(chunk, 0, Status.SENT))}
    for token in (0, 1, 5):
        assert await claim(claims, view(chunk, "other", token), 0) == Settled(outcome(chunk, 0, Status.SENT))


async def test_writing_and_claiming_share_one_step(claims: Claims, chunk: Job) -> None:
    mine = view(chunk, "mine")
    await claim(claims, mine, 0)
    records = await claims.advance(mine, [end(chunk, 0)], [1, 2])
    assert records[0] == Settled(outcome(chunk, 0, Status.SENT))
    assert isinstance(records[1], Free)
    assert isinstance(records[2], Free)


async def test_a_delayed_record_is_returned_to_its_own_delivery_until_its_copy_is_queued(
    claims: Claims, chunk: Job
) -> None:
    mine = view(chunk, "mine")
    await claim(claims, mine, 0)
    await claims.advance(mine, [delay(chunk, 0)])
    again = (await begin(claims, view(chunk, "redelivered"))).records[0]
    assert again == Delayed(outcome(chunk, 0, Status.RETRYING), 10, uses_attempt=True, handed=False)
    await claims.end(mine, handed=[0])
    kept = (await begin(claims, view(chunk, "redelivered"))).records[0]
    assert isinstance(kept, Delayed)
    assert kept.handed


async def test_the_next_copy_may_claim_what_was_delayed_and_older_copies_are_stale(claims: Claims, chunk: Job) -> None:
    mine = view(chunk, "mine")
    first = await claim(claims, mine, 0)
    await claims.advance(mine, [delay(chunk, 0)])
    following = view(chunk, "following", token=1)
    record = await claim(claims, following, 0)
    assert isinstance(record, Free)
    assert isinstance(first, Free)
    assert record.first_s == first.first_s, "the first try is remembered"
    assert await claim(claims, view(chunk, "redelivered", token=0), 0) == Stale()
    await claims.advance(following, [delay(chunk, 0, attempt=2)])
    assert await claim(claims, view(chunk, "redelivered", token=0), 0) == Stale()


async def test_doubt_is_remembered_over_later_attempts(claims: Claims, chunk: Job) -> None:
    await claim(claims, view(chunk, "a"), 0)
    await claims.advance(view(chunk, "a"), [delay(chunk, 0, doubtful=True)])
    second = await claim(claims, view(chunk, "b", token=1), 0)
    assert isinstance(second, Free)
    assert second.doubtful


async def test_a_late_success_stands_though_the_claim_was_taken_over(claims: Claims, brief: Claims, chunk: Job) -> None:
    """A worker that was merely slow knows better than the one that judged it dead."""
    slow, judge = view(chunk, "slow"), view(chunk, "judge")
    await claim(brief, slow, 0)

    async def is_taken_over() -> bool:
        return isinstance(await claim(claims, judge, 0), Lapsed)

    await eventually(is_taken_over)
    await claims.advance(judge, [end(chunk, 0, Status.UNCERTAIN)])
    assert await claims.advance(slow, [end(chunk, 0)]) == {0: Settled(outcome(chunk, 0, Status.SENT))}
    assert await claim(claims, view(chunk, "copy", token=1), 0) == Settled(outcome(chunk, 0, Status.SENT))


async def test_a_late_failure_does_not_undo_what_was_judged(claims: Claims, brief: Claims, chunk: Job) -> None:
    slow, judge = view(chunk, "slow"), view(chunk, "judge")
    await claim(brief, slow, 0)

    async def is_taken_over() -> bool:
        return isinstance(await claim(claims, judge, 0), Lapsed)

    await eventually(is_taken_over)
    assert await claims.advance(slow, [delay(chunk, 0)]) == {0: Stale()}
    await claims.advance(judge, [end(chunk, 0)])
    uncertain = end(chunk, 0, Status.UNCERTAIN)
    assert await claims.advance(slow, [uncertain]) == {0: Settled(outcome(chunk, 0, Status.SENT))}


async def test_a_claim_given_back_is_free_and_a_lapsed_one_is_not(claims: Claims, brief: Claims, chunk: Job) -> None:
    mine = view(chunk, "mine")
    await claim(claims, mine, 0)
    await claim(brief, view(chunk, "dead"), 1)

    async def is_taken_over() -> bool:
        return isinstance(await claim(brief, mine, 1), Lapsed)

    await eventually(is_taken_over)
    await claims.end(mine, unsent=[0, 1, 2])
    assert isinstance(await claim(claims, view(chunk, "next"), 0), Free)
    await eventually(lambda: _is(claims, chunk, 1, Lapsed))


async def test_a_first_start_goes_and_a_second_without_an_end_wants_to_be_alone(claims: Claims, chunk: Job) -> None:
    assert (await begin(claims, view(chunk, "a"))).answer == "go"
    second = await begin(claims, view(chunk, "b"))
    assert (second.answer, second.broken) == ("alone", 1)
    third = await begin(claims, view(chunk, "b"), alone=True)
    assert (third.answer, third.broken) == ("go", 1)


async def test_three_starts_without_an_end_are_dead(claims: Claims, chunk: Job) -> None:
    answers = [(await begin(claims, view(chunk, f"owner{number}"), alone=True)).answer for number in range(5)]
    assert answers == ["go", "go", "go", "dead", "dead"]


async def test_an_orderly_end_takes_its_start_away(claims: Claims, chunk: Job) -> None:
    for _ in range(10):
        begun = await begin(claims, view(chunk, "a"))
        assert (begun.answer, begun.broken) == ("go", 0)
        await claims.end(view(chunk, "a"), broken=begun.broken)


async def test_a_hand_back_keeps_what_was_counted_before(claims: Claims, chunk: Job) -> None:
    await begin(claims, view(chunk, "died"))
    for _ in range(10):
        begun = await begin(claims, view(chunk, "a"), alone=True)
        assert (begun.answer, begun.broken) == ("go", 1)
        await claims.end(view(chunk, "a"), broken=begun.broken)


async def test_progress_forgives_the_starts_before_it(claims: Claims, chunk: Job) -> None:
    """Else a few kills at random would dead-letter a long chunk that is in good health."""
    await begin(claims, view(chunk, "died"))
    await begin(claims, view(chunk, "died too"), alone=True)
    await claims.advance(view(chunk, "died too"), [], [0])
    await claims.advance(view(chunk, "died too"), [end(chunk, 0)])
    begun = await begin(claims, view(chunk, "next"))
    assert (begun.answer, begun.broken) == ("go", 0)
    assert (await begin(claims, view(chunk, "after"))).broken == 1


async def test_starts_are_counted_for_each_copy_by_itself(claims: Claims, chunk: Job) -> None:
    for number in range(3):
        await begin(claims, view(chunk, f"owner{number}"), alone=True)
    rest = chunk.model_copy(update={"recipients": chunk.recipients[1:]})
    assert (await claims.begin(ChunkRecord(rest, "rest"), [1, 2], alone=False)).answer == "go"
    assert (await begin(claims, view(chunk, "copy", token=1))).answer == "go"


async def test_who_ends_in_good_order_after_all_has_broken_nothing(claims: Claims, chunk: Job) -> None:
    """As a worker does that was stopped (SIGSTOP) while others took over from it."""
    await begin(claims, view(chunk, "slept"))
    second = await begin(claims, view(chunk, "next"), alone=True)
    assert (second.broken, second.by) == (1, ("slept",))
    await claims.end(view(chunk, "slept"))
    third = await begin(claims, view(chunk, "third"), alone=True)
    assert (third.broken, third.by) == (1, ("next",)), "the one that has not ended"


async def test_a_late_end_counts_in_the_copies_too(claims: Claims, chunk: Job) -> None:
    following = view(chunk, "copy", token=1)
    await begin(claims, view(chunk, "slept"))
    begun = await begin(claims, view(chunk, "next"), alone=True)
    await claims.copy_breaks(view(chunk, "next"), {following.start: 1}, begun.by)
    await claims.end(view(chunk, "next"))
    await claims.end(view(chunk, "slept"))
    copy = await begin(claims, following)
    assert (copy.answer, copy.broken) == ("go", 0)


async def test_starts_of_a_process_that_was_merely_stopped_count_for_nothing(
    claims: Claims, redis: Redis, chunk: Job
) -> None:
    stopped, crashed = owner_of("stopped", "w") + "1", owner_of("crashed", "w") + "1"
    await begin(claims, view(chunk, stopped))
    await begin(claims, view(chunk, crashed), alone=True)
    await begin(claims, view(chunk, owner_of("", "unwatched") + "1"), alone=True)
    assert (await begin(claims, view(chunk, "next"), alone=True)).answer == "dead"

    await Claims(redis, stopped=["stopped", "another"]).excuse_stopped()

    again = await begin(claims, view(chunk, "next"), alone=True)
    assert (again.answer, again.broken) == ("go", 2)
    assert (await begin(claims, view(chunk, "last"), alone=True)).answer == "dead", "the others count as they did"


async def test_a_lapsed_claim_names_its_owner(redis: Redis, chunk: Job) -> None:
    short = Claims(redis, lease_s=0.05)
    await claim(short, view(chunk, "gone"), 0)

    async def has_lapsed() -> bool:
        return isinstance((await begin(short, view(chunk, "next"), alone=True)).records[0], Lapsed)

    await eventually(has_lapsed)
    record = await claim(short, view(chunk, "next"), 0)
    assert isinstance(record, Lapsed)
    assert record.owner == "gone"


async def test_what_the_version_before_counted_counts(claims: Claims, redis: Redis, chunk: Job) -> None:
    """It writes the count alone, and reads it alone."""
    mine = view(chunk, "a")
    await redis.call("HSET", mine.key, mine.start, "2 0")
    third = await begin(claims, mine, alone=True)
    assert (third.answer, third.broken, third.by) == ("go", 2, ())
    assert await redis.call("HGET", mine.key, mine.start) == b"3 0"
    await claims.end(mine, broken=2)
    assert await redis.call("HGET", mine.key, mine.start) == b"2 0"
    await redis.call("HDEL", mine.key, mine.start)  # as it ends a delivery, names and all left behind
    assert (await begin(claims, view(chunk, "b"))).answer == "go"


async def test_a_copy_inherits_what_its_recipients_broke(claims: Claims, chunk: Job) -> None:
    following = view(chunk, "copy", token=1)
    await claims.copy_breaks(view(chunk, "a"), {following.start: 2})
    begun = await begin(claims, following, alone=True)
    assert (begun.answer, begun.broken) == ("go", 2)
    assert (await begin(claims, following, alone=True)).answer == "dead"


async def test_claims_outlive_their_job_and_not_for_ever(claims: Claims, redis: Redis, chunk: Job) -> None:
    await begin(claims, view(chunk, "a"))
    left_s = int(await redis.call("PTTL", view(chunk, "a").key)) / 1000
    assert 2 * 86_400 < left_s <= 2 * 86_400 + 3_601
    expired = chunk.model_copy(update={"request": secrets.token_hex(16), "expires_at": NOW - timedelta(days=30)})
    await begin(claims, view(expired, "a"))
    assert int(await redis.call("PTTL", view(expired, "a").key)) > 80_000_000


async def test_an_end_written_after_a_flush_is_not_kept_for_ever(claims: Claims, redis: Redis, chunk: Job) -> None:
    mine = view(chunk, "mine")
    assert isinstance(await claims.begin_and_claim(mine, 0), Free)
    await redis.call("DEL", mine.key)
    assert await claims.advance(mine, [end(chunk, 0)]) == {0: Settled(outcome(chunk, 0, Status.SENT))}
    assert 0 < int(await redis.call("PTTL", mine.key)) <= 2 * 86_400_000


async def test_of_two_ends_the_one_that_counts_more_stands(claims: Claims, chunk: Job) -> None:
    for first, second in ((Status.SENT, Status.UNCERTAIN), (Status.UNCERTAIN, Status.SENT)):
        other_chunk = view(chunk.model_copy(update={"request": secrets.token_hex(16)}), "one")
        assert isinstance(await claims.begin_and_claim(other_chunk, 0), Free)
        await claims.advance(other_chunk, [end(chunk, 0, first)])
        (found,) = (await claims.advance(other_chunk, [end(chunk, 0, second)])).values()
        assert isinstance(found, Settled)
        assert found.outcome.status is Status.SENT


async def test_claims_that_were_flushed_are_not_known_and_their_birth_is_later(
    claims: Claims, redis: Redis, chunk: Job
) -> None:
    assert not (await begin(claims, view(chunk, "a"))).known
    assert (await begin(claims, view(chunk, "a"))).known
    await redis.call("DEL", "imsg:ledger:born")
    born_s = await claims.read_data_since_s()
    assert chunk.accepted_at.timestamp() <= born_s
    assert await claims.read_data_since_s() == born_s


@pytest.mark.parametrize("seed", range(8))
async def test_however_deliveries_race_each_recipient_is_sent_once_and_all_agree(
    redis: Redis, chunk: Job, seed: int
) -> None:
    """Deliveries of one chunk race: they claim, dawdle, die and come again. Each delivery that may send counts."""
    random = Random(seed)  # noqa: S311  a race to repeat
    sent, told = [0, 0, 0], [set[str](), set[str](), set[str]()]
    doubts = [0, 0, 0]

    async def deliver(number: int) -> None:
        claims, mine = Claims(redis, lease_s=0.08), view(chunk, f"owner{number}")
        for n in random.sample(range(3), 3):
            record = await claim(claims, mine, n)
            if isinstance(record, Settled):
                told[n].add(str(record.outcome.provider_id))
                continue
            if isinstance(record, Lapsed):
                doubts[n] += 1
            elif not isinstance(record, Free):
                continue
            else:
                sent[n] += 1
            if random.random() < 0.3:
                return  # it died, and what it had sent is unknown
            name = f"{number}/{n}"
            transition = Transition(outcome(chunk, n, Status.SENT).model_copy(update={"provider_id": name}))
            standing = (await claims.advance(mine, [transition]))[n]
            assert isinstance(standing, Settled)
            told[n].add(str(standing.outcome.provider_id))

    number = 0

    async def all_told() -> bool:
        nonlocal number
        await asyncio.gather(*(deliver(number + more) for more in range(4)))
        number += 4
        return all(told)

    await eventually(all_told, 60)
    assert sent == [1, 1, 1]
    assert [len(names) for names in told] == [1, 1, 1]


async def _is(claims: Claims, chunk: Job, n: int, kind: type[Record]) -> bool:
    records = (await claims.begin(view(chunk, "status_query"), [0, 1, 2], alone=True)).records
    await claims.end(view(chunk, "status_query"))
    return isinstance(records[n], kind)
