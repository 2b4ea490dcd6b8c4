"""The ledger: only who claims sends, what is settled stays, what died is known, what kills is counted."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Outcome, Recipient, Status
from imsg_delivery.claims.records import Busy, Ended, Entry, Finding, Free, Lapsed, PutOff, Stale
from imsg_delivery.claims.store import Begun, Ledger, Page, owner_of
from imsg_runtime.redis import Redis, connect
from imsg_testing.waiting import eventually

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to the run's Valkey."""
    async with connect(valkey_url) as redis:
        yield redis


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    """Make a ledger with leases that last longer than a test."""
    return Ledger(redis, lease_s=30)


@pytest.fixture
def brief(redis: Redis) -> Ledger:
    """Make a ledger whose leases lapse in a moment."""
    return Ledger(redis, lease_s=0.05)


@pytest.fixture
def part() -> Job:
    """Make a part of three recipients, of a request of this test's own."""
    return Job(
        request=secrets.token_hex(16),
        part=0,
        username="zhang",
        method="smtp",
        lane=Lane.BULK,
        content={"subject": "hello", "text": "您好"},
        recipients=tuple(Recipient(n=n, to=f"{n}@example.com", address=f"{n}@example.com") for n in range(3)),
        accepted_at=datetime.now(UTC),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )


def page(part: Job, owner: str, turn: int = 0) -> Page:
    """Open the part's page as one delivery of it does."""
    return Page.of(part.model_copy(update={"turn": turn}), owner)


def outcome(part: Job, n: int, status: Status, attempt: int = 1) -> Outcome:
    """Make an outcome."""
    return Outcome(request=part.request, n=n, attempt=attempt, status=status, provider="trial", at=NOW)


def ended(part: Job, n: int, status: Status = Status.SENT) -> Finding:
    """Find that a message has ended."""
    return Finding(outcome(part, n, status))


def put_off(part: Job, n: int, attempt: int = 1, *, doubtful: bool = False) -> Finding:
    """Find that a message comes again."""
    return Finding(outcome(part, n, Status.RETRYING, attempt), step_s=10, doubtful=doubtful)


async def claim(ledger: Ledger, page: Page, n: int) -> Entry:
    """Claim one recipient."""
    return (await ledger.advance(page, [], [n]))[n]


async def begin(ledger: Ledger, page: Page, *, alone: bool = False) -> Begun:
    """Begin a delivery of all three recipients."""
    return await ledger.begin(page, [0, 1, 2], alone=alone)


async def test_of_two_who_claim_at_once_one_gets_it(ledger: Ledger, part: Job) -> None:
    entries = await asyncio.gather(*(claim(ledger, page(part, f"owner{number}"), 0) for number in range(20)))
    assert sorted(type(entry).__name__ for entry in entries) == ["Busy"] * 19 + ["Free"]
    assert all(29 < entry.left_s <= 30 for entry in entries if isinstance(entry, Busy))


async def test_claiming_again_what_is_ours_changes_nothing(ledger: Ledger, part: Job) -> None:
    """Redis may have carried out a step whose reply was lost."""
    mine = page(part, "mine")
    first, second = await claim(ledger, mine, 0), await claim(ledger, mine, 0)
    assert isinstance(first, Free)
    assert first == second


async def test_a_lapsed_claim_is_taken_over_to_be_judged_and_never_as_free(
    ledger: Ledger, brief: Ledger, part: Job
) -> None:
    await claim(brief, page(part, "dead"), 0)

    async def lapsed() -> bool:
        return isinstance((await begin(ledger, page(part, "next"))).entries[0], Lapsed)

    await eventually(lapsed)
    successor = page(part, "next")
    assert isinstance(await claim(ledger, successor, 0), Lapsed)
    assert isinstance(await claim(ledger, successor, 0), Lapsed), "not even where the first reply was lost"
    assert isinstance(await claim(ledger, page(part, "third"), 0), Busy)


async def test_a_renewed_lease_does_not_lapse(redis: Redis, part: Job) -> None:
    keeper, other = Ledger(redis, lease_s=0.3), Ledger(redis)
    renewing = asyncio.create_task(keeper.keep_leases())
    await claim(keeper, page(part, "slow"), 0)
    with pytest.raises(TimeoutError):
        await eventually(lambda: _is(other, part, 0, Lapsed), within_s=1.0)
    keeper.forget(page(part, "slow"))
    await eventually(lambda: _is(other, part, 0, Lapsed))
    renewing.cancel()


async def test_a_claim_in_flight_is_made_anew_after_a_flush(redis: Redis, part: Job) -> None:
    keeper = Ledger(redis, lease_s=0.3)
    await claim(keeper, page(part, "slow"), 1)
    await redis.call("DEL", page(part, "slow").key)
    renewing = asyncio.create_task(keeper.keep_leases())
    await eventually(lambda: _is(Ledger(redis), part, 1, Busy))
    assert await redis.call("PTTL", page(part, "slow").key) > 0
    renewing.cancel()


async def test_what_has_ended_is_answered_to_everybody_and_claimed_by_nobody(ledger: Ledger, part: Job) -> None:
    mine = page(part, "mine")
    await claim(ledger, mine, 0)
    assert await ledger.advance(mine, [ended(part, 0)]) == {0: Ended(outcome(part, 0, Status.SENT))}
    for turn in (0, 1, 5):
        assert await claim(ledger, page(part, "other", turn), 0) == Ended(outcome(part, 0, Status.SENT))


async def test_writing_and_claiming_share_one_step(ledger: Ledger, part: Job) -> None:
    mine = page(part, "mine")
    await claim(ledger, mine, 0)
    entries = await ledger.advance(mine, [ended(part, 0)], [1, 2])
    assert entries[0] == Ended(outcome(part, 0, Status.SENT))
    assert isinstance(entries[1], Free)
    assert isinstance(entries[2], Free)


async def test_a_put_off_is_told_again_to_its_own_delivery_until_its_copy_is_kept(ledger: Ledger, part: Job) -> None:
    mine = page(part, "mine")
    await claim(ledger, mine, 0)
    await ledger.advance(mine, [put_off(part, 0)])
    again = (await begin(ledger, page(part, "redelivered"))).entries[0]
    assert again == PutOff(outcome(part, 0, Status.RETRYING), 10, uses_attempt=True, handed=False)
    await ledger.end(mine, handed=[0])
    kept = (await begin(ledger, page(part, "redelivered"))).entries[0]
    assert isinstance(kept, PutOff)
    assert kept.handed


async def test_the_next_copy_may_claim_what_was_put_off_and_older_copies_are_stale(ledger: Ledger, part: Job) -> None:
    mine = page(part, "mine")
    first = await claim(ledger, mine, 0)
    await ledger.advance(mine, [put_off(part, 0)])
    following = page(part, "following", turn=1)
    entry = await claim(ledger, following, 0)
    assert isinstance(entry, Free)
    assert isinstance(first, Free)
    assert entry.first_s == first.first_s, "the first try is remembered"
    assert await claim(ledger, page(part, "redelivered", turn=0), 0) == Stale()
    await ledger.advance(following, [put_off(part, 0, attempt=2)])
    assert await claim(ledger, page(part, "redelivered", turn=0), 0) == Stale()


async def test_doubt_is_remembered_over_later_attempts(ledger: Ledger, part: Job) -> None:
    await claim(ledger, page(part, "a"), 0)
    await ledger.advance(page(part, "a"), [put_off(part, 0, doubtful=True)])
    second = await claim(ledger, page(part, "b", turn=1), 0)
    assert isinstance(second, Free)
    assert second.doubtful


async def test_a_late_success_stands_though_the_claim_was_taken_over(ledger: Ledger, brief: Ledger, part: Job) -> None:
    """A worker that was merely slow knows better than the one that judged it dead."""
    slow, judge = page(part, "slow"), page(part, "judge")
    await claim(brief, slow, 0)

    async def taken_over() -> bool:
        return isinstance(await claim(ledger, judge, 0), Lapsed)

    await eventually(taken_over)
    await ledger.advance(judge, [ended(part, 0, Status.UNCERTAIN)])
    assert await ledger.advance(slow, [ended(part, 0)]) == {0: Ended(outcome(part, 0, Status.SENT))}
    assert await claim(ledger, page(part, "copy", turn=1), 0) == Ended(outcome(part, 0, Status.SENT))


async def test_a_late_failure_does_not_undo_what_was_judged(ledger: Ledger, brief: Ledger, part: Job) -> None:
    slow, judge = page(part, "slow"), page(part, "judge")
    await claim(brief, slow, 0)

    async def taken_over() -> bool:
        return isinstance(await claim(ledger, judge, 0), Lapsed)

    await eventually(taken_over)
    assert await ledger.advance(slow, [put_off(part, 0)]) == {0: Stale()}
    await ledger.advance(judge, [ended(part, 0)])
    uncertain = ended(part, 0, Status.UNCERTAIN)
    assert await ledger.advance(slow, [uncertain]) == {0: Ended(outcome(part, 0, Status.SENT))}


async def test_a_claim_given_back_is_free_and_a_lapsed_one_is_not(ledger: Ledger, brief: Ledger, part: Job) -> None:
    mine = page(part, "mine")
    await claim(ledger, mine, 0)
    await claim(brief, page(part, "dead"), 1)

    async def taken_over() -> bool:
        return isinstance(await claim(brief, mine, 1), Lapsed)

    await eventually(taken_over)
    await ledger.end(mine, unsent=[0, 1, 2])
    assert isinstance(await claim(ledger, page(part, "next"), 0), Free)
    await eventually(lambda: _is(ledger, part, 1, Lapsed))


async def test_a_first_start_goes_and_a_second_without_an_end_wants_to_be_alone(ledger: Ledger, part: Job) -> None:
    assert (await begin(ledger, page(part, "a"))).answer == "go"
    second = await begin(ledger, page(part, "b"))
    assert (second.answer, second.broken) == ("alone", 1)
    third = await begin(ledger, page(part, "b"), alone=True)
    assert (third.answer, third.broken) == ("go", 1)


async def test_three_starts_without_an_end_are_dead(ledger: Ledger, part: Job) -> None:
    answers = [(await begin(ledger, page(part, f"owner{number}"), alone=True)).answer for number in range(5)]
    assert answers == ["go", "go", "go", "dead", "dead"]


async def test_an_orderly_end_takes_its_start_away(ledger: Ledger, part: Job) -> None:
    for _ in range(10):
        begun = await begin(ledger, page(part, "a"))
        assert (begun.answer, begun.broken) == ("go", 0)
        await ledger.end(page(part, "a"), broken=begun.broken)


async def test_a_hand_back_keeps_what_was_counted_before(ledger: Ledger, part: Job) -> None:
    await begin(ledger, page(part, "died"))
    for _ in range(10):
        begun = await begin(ledger, page(part, "a"), alone=True)
        assert (begun.answer, begun.broken) == ("go", 1)
        await ledger.end(page(part, "a"), broken=begun.broken)


async def test_progress_forgives_the_starts_before_it(ledger: Ledger, part: Job) -> None:
    """Else a few kills at random would bury a long part that is in good health."""
    await begin(ledger, page(part, "died"))
    await begin(ledger, page(part, "died too"), alone=True)
    await ledger.advance(page(part, "died too"), [], [0])
    await ledger.advance(page(part, "died too"), [ended(part, 0)])
    begun = await begin(ledger, page(part, "next"))
    assert (begun.answer, begun.broken) == ("go", 0)
    assert (await begin(ledger, page(part, "after"))).broken == 1


async def test_starts_are_counted_for_each_copy_by_itself(ledger: Ledger, part: Job) -> None:
    for number in range(3):
        await begin(ledger, page(part, f"owner{number}"), alone=True)
    rest = part.model_copy(update={"recipients": part.recipients[1:]})
    assert (await ledger.begin(Page.of(rest, "rest"), [1, 2], alone=False)).answer == "go"
    assert (await begin(ledger, page(part, "copy", turn=1))).answer == "go"


async def test_who_ends_in_good_order_after_all_has_broken_nothing(ledger: Ledger, part: Job) -> None:
    """As a worker does that was stopped (SIGSTOP) while others took over from it."""
    await begin(ledger, page(part, "slept"))
    second = await begin(ledger, page(part, "next"), alone=True)
    assert (second.broken, second.by) == (1, ("slept",))
    await ledger.end(page(part, "slept"))
    third = await begin(ledger, page(part, "third"), alone=True)
    assert (third.broken, third.by) == (1, ("next",)), "the one that has not ended"


async def test_a_late_end_counts_in_the_copies_too(ledger: Ledger, part: Job) -> None:
    following = page(part, "copy", turn=1)
    await begin(ledger, page(part, "slept"))
    begun = await begin(ledger, page(part, "next"), alone=True)
    await ledger.carry(page(part, "next"), {following.start: 1}, begun.by)
    await ledger.end(page(part, "next"))
    await ledger.end(page(part, "slept"))
    copy = await begin(ledger, following)
    assert (copy.answer, copy.broken) == ("go", 0)


async def test_starts_of_a_process_that_was_merely_stopped_count_for_nothing(
    ledger: Ledger, redis: Redis, part: Job
) -> None:
    stopped, crashed = owner_of("stopped", "w", 1), owner_of("crashed", "w", 1)
    await begin(ledger, page(part, stopped))
    await begin(ledger, page(part, crashed), alone=True)
    await begin(ledger, page(part, owner_of("", "unwatched", 1)), alone=True)
    assert (await begin(ledger, page(part, "next"), alone=True)).answer == "dead"

    await Ledger(redis, stopped=["stopped", "another"]).excuse_stopped()

    again = await begin(ledger, page(part, "next"), alone=True)
    assert (again.answer, again.broken) == ("go", 2)
    assert (await begin(ledger, page(part, "last"), alone=True)).answer == "dead", "the others count as they did"


async def test_a_lapsed_claim_says_whose_it_was(redis: Redis, part: Job) -> None:
    short = Ledger(redis, lease_s=0.05)
    await claim(short, page(part, "gone"), 0)

    async def lapsed() -> bool:
        return isinstance((await begin(short, page(part, "next"), alone=True)).entries[0], Lapsed)

    await eventually(lapsed)
    entry = await claim(short, page(part, "next"), 0)
    assert isinstance(entry, Lapsed)
    assert entry.owner == "gone"


async def test_what_the_version_before_counted_counts(ledger: Ledger, redis: Redis, part: Job) -> None:
    """It writes the count alone, and reads it alone."""
    mine = page(part, "a")
    await redis.call("HSET", mine.key, mine.start, "2 0")
    third = await begin(ledger, mine, alone=True)
    assert (third.answer, third.broken, third.by) == ("go", 2, ())
    assert await redis.call("HGET", mine.key, mine.start) == b"3 0"
    await ledger.end(mine, broken=2)
    assert await redis.call("HGET", mine.key, mine.start) == b"2 0"
    await redis.call("HDEL", mine.key, mine.start)  # as it ends a delivery, names and all left behind
    assert (await begin(ledger, page(part, "b"))).answer == "go"


async def test_a_copy_inherits_what_its_recipients_broke(ledger: Ledger, part: Job) -> None:
    following = page(part, "copy", turn=1)
    await ledger.carry(page(part, "a"), {following.start: 2})
    begun = await begin(ledger, following, alone=True)
    assert (begun.answer, begun.broken) == ("go", 2)
    assert (await begin(ledger, following, alone=True)).answer == "dead"


async def test_a_ledger_outlives_its_job_and_not_for_ever(ledger: Ledger, redis: Redis, part: Job) -> None:
    await begin(ledger, page(part, "a"))
    left_s = int(await redis.call("PTTL", page(part, "a").key)) / 1000
    assert 2 * 86_400 < left_s <= 2 * 86_400 + 3_601
    expired = part.model_copy(update={"request": secrets.token_hex(16), "expires_at": NOW - timedelta(days=30)})
    await begin(ledger, page(expired, "a"))
    assert int(await redis.call("PTTL", page(expired, "a").key)) > 80_000_000


async def test_a_ledger_that_was_flushed_is_not_known_and_its_birth_is_later(
    ledger: Ledger, redis: Redis, part: Job
) -> None:
    assert not (await begin(ledger, page(part, "a"))).known
    assert (await begin(ledger, page(part, "a"))).known
    await redis.call("DEL", "imsg:ledger:born")
    born_s = await ledger.born_s()
    assert part.accepted_at.timestamp() <= born_s
    assert await ledger.born_s() == born_s


@pytest.mark.parametrize("seed", range(8))
async def test_however_deliveries_race_each_recipient_is_sent_once_and_all_agree(
    redis: Redis, part: Job, seed: int
) -> None:
    """Deliveries of one part race: they claim, dawdle, die and come again. Whoever may send counts."""
    random = Random(seed)  # noqa: S311  a race to repeat
    sent, told = [0, 0, 0], [set[str](), set[str](), set[str]()]
    doubts = [0, 0, 0]

    async def deliver(number: int) -> None:
        ledger, mine = Ledger(redis, lease_s=0.08), page(part, f"owner{number}")
        for n in random.sample(range(3), 3):
            entry = await claim(ledger, mine, n)
            if isinstance(entry, Ended):
                told[n].add(str(entry.outcome.provider_id))
                continue
            if isinstance(entry, Lapsed):
                doubts[n] += 1
            elif not isinstance(entry, Free):
                continue
            else:
                sent[n] += 1
            if random.random() < 0.3:
                return  # died, and what it had sent nobody knows
            name = f"{number}/{n}"
            finding = Finding(outcome(part, n, Status.SENT).model_copy(update={"provider_id": name}))
            standing = (await ledger.advance(mine, [finding]))[n]
            assert isinstance(standing, Ended)
            told[n].add(str(standing.outcome.provider_id))

    number = 0

    async def all_told() -> bool:
        nonlocal number
        await asyncio.gather(*(deliver(number + more) for more in range(4)))
        number += 4
        return all(told)

    await eventually(all_told, 10)
    assert sent == [1, 1, 1]
    assert [len(names) for names in told] == [1, 1, 1]


async def _is(ledger: Ledger, part: Job, n: int, kind: type[Entry]) -> bool:
    entries = (await ledger.begin(page(part, "asking"), [0, 1, 2], alone=True)).entries
    await ledger.end(page(part, "asking"))
    return isinstance(entries[n], kind)
