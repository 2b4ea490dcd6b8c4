"""What becomes of a message after an attempt, and the copies in which the rest comes again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from imsg_contract.topology import STEPS_S, Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result, Sent, Status, Unknown
from imsg_delivery.channel import Terms
from imsg_delivery.decide import Standing, Verdict, judge, may_repeat, too_late
from imsg_delivery.retry_plan import Copies

MAIL = Terms(part_size=50, call_size=1, concurrency={Lane.SINGLE: 1, Lane.BULK: 1}, uncertain="repeat")
SMS = replace(MAIL, uncertain="stop")
WECHAT = replace(MAIL, repeat_for_s=540)

FRESH = Standing(attempt=1, left_s=3_600, room_s=86_400, tried_for_s=0, doubtful=False)

SENT = Sent("relay", "id", "2.0.0 Ok")
AGAIN = Again("relay", "451", "greylisted")
REFUSED = Refused("relay", "550", "no such user")
BLOCKED = Blocked("relay", "account", "535", "wrong password", after_s=60)
UNKNOWN = Unknown("relay", "timeout", "no answer after the final dot")

UNJITTERED = 0.99


def judged(result: Result, standing: Standing = FRESH, terms: Terms = MAIL) -> Verdict:
    """Judge by the real steps, without jitter."""
    return judge(result, standing, terms, STEPS_S, UNJITTERED)


@pytest.mark.parametrize(
    ("result", "terms", "status", "step_s"),
    [
        (SENT, MAIL, Status.SENT, None),
        (REFUSED, MAIL, Status.FAILED, None),
        (AGAIN, MAIL, Status.RETRYING, 10),
        (replace(AGAIN, after_s=61), MAIL, Status.RETRYING, 300),
        (BLOCKED, MAIL, Status.RETRYING, 60),
        (UNKNOWN, MAIL, Status.RETRYING, 10),
        (UNKNOWN, SMS, Status.UNCERTAIN, None),
        (UNKNOWN, WECHAT, Status.RETRYING, 10),
    ],
)
def test_a_result_becomes_a_status(result: Result, terms: Terms, status: Status, step_s: int | None) -> None:
    verdict = judged(result, terms=terms)
    assert (verdict.status, verdict.step_s) == (status, step_s)


def test_what_the_provider_said_is_kept() -> None:
    assert judged(SENT).provider_id == "id"
    assert judged(SENT).detail == "2.0.0 Ok"
    assert (judged(REFUSED).code, judged(REFUSED).detail) == ("550", "no such user")
    assert judged(replace(AGAIN, detail="长" * 2_000)).detail == "长" * 500


def test_without_time_for_another_try_it_expires() -> None:
    assert judged(AGAIN, replace(FRESH, left_s=10)).status == "expired"
    assert judged(replace(AGAIN, after_s=3_600)).status == "expired"
    assert judged(AGAIN, replace(FRESH, left_s=-5)).code == "451"


def test_where_the_provider_may_have_it_it_ends_uncertain_and_not_expired() -> None:
    assert judged(UNKNOWN, replace(FRESH, left_s=5)).status == "uncertain"
    assert judged(AGAIN, replace(FRESH, left_s=5, doubtful=True)).status == "uncertain"
    assert too_late(doubtful=True).status == "uncertain"
    assert too_late(doubtful=False).status == "expired"


def test_only_blocks_use_up_no_attempt() -> None:
    assert judged(AGAIN).uses_attempt
    assert judged(UNKNOWN).uses_attempt
    assert not judged(BLOCKED).uses_attempt


def test_a_block_may_outlast_the_life_of_the_message_by_a_day_and_no_more() -> None:
    nearly_over = replace(FRESH, left_s=1)
    assert judged(BLOCKED, nearly_over).step_s == 60
    assert judged(BLOCKED, replace(nearly_over, room_s=30)).status == "expired"


def test_a_repeat_comes_within_its_time_or_not_at_all() -> None:
    assert judged(UNKNOWN, replace(FRESH, attempt=3), WECHAT).step_s == 300
    assert judged(UNKNOWN, replace(FRESH, attempt=3, tried_for_s=300), WECHAT).step_s == 60
    assert judged(UNKNOWN, replace(FRESH, tried_for_s=535), WECHAT).status == "uncertain"


def test_doubt_binds_later_attempts_too() -> None:
    """Attempt 2 was merely refused for now, but attempt 1 may have arrived: its time for repeating still counts."""
    later = replace(FRESH, attempt=2, tried_for_s=500, doubtful=True)
    assert judged(AGAIN, later, WECHAT).step_s == 10
    assert judged(replace(AGAIN, after_s=60), later, WECHAT).status == "uncertain"
    assert judged(replace(AGAIN, after_s=60), replace(later, doubtful=False), WECHAT).status == "retrying"


def test_what_may_be_repeated() -> None:
    assert may_repeat(MAIL, 80_000)
    assert not may_repeat(SMS, 0)
    assert may_repeat(WECHAT, 539)
    assert not may_repeat(WECHAT, 540)


def part() -> Job:
    """Make a part of four."""
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return Job(
        request="0" * 32,
        part=10,
        username="zhang",
        method="smtp",
        lane=Lane.BULK,
        content="您好",
        recipients=tuple(Recipient(n=n, to=str(n), address=str(n)) for n in range(10, 14)),
        accepted_at=now,
        expires_at=now + timedelta(hours=1),
        extended_s=86_400 - 40,
        attempt=2,
        turn=5,
    )


def test_recipients_that_come_again_alike_share_a_copy() -> None:
    job = part()
    copies = Copies(job)
    assert not copies
    for recipient in reversed(job.recipients[:2]):
        copies.add_next(recipient, 10, uses_attempt=True)
    copies.add_next(job.recipients[2], 60, uses_attempt=True)
    copies.add_next(job.recipients[3], 60, uses_attempt=False)
    made = {(copy.attempt, step_s): copy for copy, step_s in copies.jobs()}
    assert {way: [one.n for one in copy.recipients] for way, copy in made.items()} == {
        (3, 10): [10, 11],
        (3, 60): [12],
        (2, 60): [13],
    }
    assert {(copy.turn, copy.part, copy.name) for copy in made.values()} == {(6, 10, job.name)}


def test_a_block_extends_the_life_by_what_was_waited_up_to_a_day_in_all() -> None:
    job = part()
    copies = Copies(job)
    copies.add_next(job.recipients[0], 10, uses_attempt=False)
    copies.add_next(job.recipients[1], 60, uses_attempt=False)
    short, long = (copy for copy, _ in copies.jobs())
    assert short.expires_at - job.expires_at == timedelta(seconds=10)
    assert long.expires_at - job.expires_at == timedelta(seconds=40)
    assert long.extended_s == 86_400


def test_what_is_looked_at_again_comes_as_it_is() -> None:
    job = part()
    copies = Copies(job)
    copies.add_same(job.recipients[1], 60, broken=2)
    ((copy, step_s),) = copies.jobs()
    assert step_s == 60
    assert copy == job.model_copy(update={"recipients": job.recipients[1:2]})
    assert copies.starts() == {"start/5/11": 2}


def test_what_may_kill_comes_in_a_copy_of_its_own() -> None:
    job = part()
    copies = Copies(job)
    for recipient in job.recipients:
        copies.add_next(recipient, 10, uses_attempt=True, broken=2, apart=True)
    assert [[one.n for one in copy.recipients] for copy, _ in copies.jobs()] == [[10], [11], [12], [13]]
    assert copies.starts() == dict.fromkeys(("start/6/10", "start/6/11", "start/6/12", "start/6/13"), 2)
