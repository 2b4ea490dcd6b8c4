"""What becomes of a message after an attempt, and the copies in which the rest comes again."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_contract.results import Again, Blocked, Hop, Refused, Result, Sent, Unknown
from imsg_contract.topology import STEPS_S, Lane
from imsg_contract.wire import Job, Recipient, Status
from imsg_delivery.channel import Terms
from imsg_delivery.claims.records import Claimed, Free, Lapsed, Transition
from imsg_delivery.decide import (
    CAPS_UNKNOWN,
    AttemptTerms,
    decide,
    decide_before_call,
    decide_dead,
    decide_status,
    may_repeat,
)
from imsg_delivery.retry_plan import RetryPlan

MAIL = Terms(chunk_size=50, call_size=1, concurrency=dict.fromkeys(Lane, 1), uncertain="repeat")
SMS = replace(MAIL, uncertain="stop")
WECHAT = replace(MAIL, repeat_for_s=540)
QUERYING = replace(SMS, query_after_s=(10, 60))

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NOW_S = NOW.timestamp()


@dataclass(frozen=True)
class Standing:
    """The state of a message when its attempt ends."""

    attempt: int = 1
    left_s: float = 3_600
    room_s: int = 86_400
    tried_for_s: float = 0
    doubtful: bool = False
    asked: int = 0

    def terms(self, channel: Terms, draw: float) -> AttemptTerms:
        """Return the terms of the attempt."""
        now = chunk().model_copy(
            update={
                "attempt": self.attempt,
                "expires_at": NOW + timedelta(seconds=self.left_s),
                "extended_s": 86_400 - self.room_s,
                "status_query": self.asked,
            }
        )
        return AttemptTerms(now, channel, STEPS_S, (1, *STEPS_S), draw)

    @property
    def state(self) -> Free:
        """Claim it."""
        return Free(10, NOW_S - self.tried_for_s, doubtful=self.doubtful)


FRESH = Standing()

SENT = Sent("relay", "id", "2.0.0 Ok")
AGAIN = Again("relay", "451", "greylisted")
REFUSED = Refused("relay", "550", "no such user")
BLOCKED = Blocked("relay", "account", "535", "wrong password", after_s=60)
UNKNOWN = Unknown("relay", "timeout", "no answer after the final dot")

UNJITTERED = 0.99


def decide_next(result: Result, standing: Standing = FRESH, terms: Terms = MAIL) -> Transition:
    """Decide by the real steps, without jitter."""
    return decide(standing.state, result, NOW_S, standing.terms(terms, UNJITTERED))


def too_late(*, doubtful: bool) -> Transition | None:
    """Return the transition of a message that expired before its attempt."""
    late = replace(FRESH, left_s=0, doubtful=doubtful)
    return decide_before_call(late.state, NOW_S, late.terms(MAIL, UNJITTERED))


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
    transition = decide_next(result, terms=terms)
    assert (transition.outcome.status, transition.step_s) == (status, step_s)


def status_of(transition: Transition | None) -> Status | None:
    """Return the status of a transition."""
    return None if transition is None else transition.outcome.status


def test_the_providers_reply_is_kept() -> None:
    assert decide_next(SENT).outcome.provider_id == "id"
    assert decide_next(SENT).outcome.detail == "2.0.0 Ok"
    assert (decide_next(REFUSED).outcome.code, decide_next(REFUSED).outcome.detail) == ("550", "no such user")
    assert decide_next(replace(AGAIN, detail="长" * 2_000)).outcome.detail == "长" * 500


def test_the_provider_is_kept_and_those_that_were_called_before_it() -> None:
    hop = Hop("first", "451", "长" * 2_000)
    outcome = decide_next(replace(AGAIN, hops=(hop,))).outcome
    assert (outcome.provider, outcome.hops) == ("relay", (replace(hop, detail="长" * 500),))
    assert decide_next(AGAIN).outcome.hops == ()
    assert decide_next(replace(UNKNOWN, provider="")).outcome.provider is None


def test_without_time_for_another_try_it_expires() -> None:
    assert decide_next(AGAIN, replace(FRESH, left_s=10)).outcome.status == "expired"
    assert decide_next(replace(AGAIN, after_s=3_600)).outcome.status == "expired"
    assert decide_next(AGAIN, replace(FRESH, left_s=-5)).outcome.code == "451"


def test_where_the_provider_may_have_it_it_ends_uncertain_and_not_expired() -> None:
    assert decide_next(UNKNOWN, replace(FRESH, left_s=5)).outcome.status == "uncertain"
    assert decide_next(AGAIN, replace(FRESH, left_s=5, doubtful=True)).outcome.status == "uncertain"
    assert status_of(too_late(doubtful=True)) == "uncertain"
    assert status_of(too_late(doubtful=False)) == "expired"


@pytest.mark.parametrize("ends", [{"erased": True}, {"suppressed": "hard_bounce"}, {}])
def test_what_ends_without_being_tried_has_no_attempt(ends: dict[str, Any]) -> None:
    standing = replace(FRESH, left_s=3_600 if ends else 0)
    held = decide_before_call(replace(standing.state, **ends), NOW_S, standing.terms(MAIL, UNJITTERED))
    assert held is not None
    assert held.outcome.attempt == 0


def test_only_blocks_use_up_no_attempt() -> None:
    assert decide_next(AGAIN).uses_attempt
    assert decide_next(UNKNOWN).uses_attempt
    assert not decide_next(BLOCKED).uses_attempt


@pytest.mark.parametrize(("extended_s", "uses_attempt"), [(0, False), (599, False), (600, True)])
def test_a_wait_for_a_pace_uses_up_no_attempt_for_ten_minutes(extended_s: int, *, uses_attempt: bool) -> None:
    standing = replace(FRESH, room_s=86_400 - extended_s)
    assert decide_next(replace(AGAIN, is_paced=True), standing).uses_attempt == uses_attempt


@pytest.mark.parametrize(("asked_s", "step_s"), [(0, 10), (30, 10), (60, 60), (61, 300)])
def test_a_block_waits_the_first_step_unless_it_asks_for_the_second_or_more(asked_s: float, step_s: int) -> None:
    assert decide_next(replace(BLOCKED, after_s=asked_s), replace(FRESH, attempt=3)).step_s == step_s
    short = replace(FRESH.terms(MAIL, UNJITTERED), steps_s=(10,))
    assert decide(FRESH.state, replace(BLOCKED, after_s=asked_s), NOW_S, short).step_s == 10


def test_a_block_may_outlast_the_life_of_the_message_by_a_day_and_no_more() -> None:
    nearly_over = replace(FRESH, left_s=1)
    assert decide_next(BLOCKED, nearly_over).step_s == 60
    assert decide_next(BLOCKED, replace(nearly_over, room_s=30)).outcome.status == "expired"


def test_a_repeat_comes_within_its_time_or_not_at_all() -> None:
    assert decide_next(UNKNOWN, replace(FRESH, attempt=3), WECHAT).step_s == 300
    assert decide_next(UNKNOWN, replace(FRESH, attempt=3, tried_for_s=300), WECHAT).step_s == 60
    assert decide_next(UNKNOWN, replace(FRESH, tried_for_s=535), WECHAT).outcome.status == "uncertain"


def test_doubt_binds_later_attempts_too() -> None:
    """Attempt 2 was merely refused for now, but attempt 1 may have arrived: its time for repeating still counts."""
    later = replace(FRESH, attempt=2, tried_for_s=500, doubtful=True)
    assert decide_next(AGAIN, later, WECHAT).step_s == 10
    assert decide_next(replace(AGAIN, after_s=60), later, WECHAT).outcome.status == "uncertain"
    assert decide_next(replace(AGAIN, after_s=60), replace(later, doubtful=False), WECHAT).outcome.status == "retrying"


@pytest.mark.parametrize(
    ("standing", "terms", "status", "code"),
    [
        (FRESH, MAIL, None, None),
        (replace(FRESH, doubtful=True), MAIL, None, None),
        (replace(FRESH, doubtful=True), SMS, "uncertain", "not_repeated"),
        (replace(FRESH, doubtful=True, tried_for_s=540), WECHAT, "uncertain", "not_repeated"),
        (replace(FRESH, left_s=0), MAIL, "expired", "expired"),
        (replace(FRESH, left_s=0, doubtful=True), MAIL, "uncertain", "expired"),
        (replace(FRESH, left_s=0, doubtful=True), QUERYING, "retrying", "not_repeated"),
    ],
)
def test_what_may_not_be_sent_now_is_held_up(
    standing: Standing, terms: Terms, status: Status | None, code: str | None
) -> None:
    transition = decide_before_call(standing.state, NOW_S, standing.terms(terms, UNJITTERED))
    assert status_of(transition) == status
    assert (transition and transition.outcome.code) == code


def hold(state: Claimed) -> tuple[Status, str | None, bool] | None:
    """Return status, code and whether the provider was called, of who must not be sent now."""
    transition = decide_before_call(state, NOW_S, FRESH.terms(MAIL, UNJITTERED))
    if transition is None:
        return None
    return transition.outcome.status, transition.outcome.code, transition.outcome.was_called


def test_what_is_cancelled_is_not_sent_unless_the_provider_may_have_it() -> None:
    free, doubtful = FRESH.state, replace(FRESH.state, doubtful=True)
    assert hold(replace(free, cancelled=True)) == (Status.CANCELLED, "cancelled", True)
    assert hold(replace(doubtful, cancelled=True)) is None
    assert hold(replace(free, cancelled=None)) == (Status.RETRYING, "cancels_unknown", False)
    assert hold(replace(doubtful, cancelled=None)) is None


def test_marketing_waits_for_suppressions_that_cannot_be_read_and_others_fail() -> None:
    free, lapsed = FRESH.state, Lapsed(10, NOW_S)
    assert hold(replace(free, suppressed="unknown")) == (Status.RETRYING, "suppressions_unknown", False)
    assert hold(replace(lapsed, suppressed="unknown")) == (Status.RETRYING, "claim_expired", True)
    assert hold(replace(free, suppressed="hard_bounce")) == (Status.FAILED, "suppressed", True)
    assert hold(replace(lapsed, suppressed="hard_bounce")) == (Status.UNCERTAIN, "suppressed", True)


def test_caps_that_cannot_be_counted_call_no_provider() -> None:
    outcome = decide_next(CAPS_UNKNOWN).outcome
    assert (outcome.status, outcome.code, outcome.was_called) == (Status.RETRYING, "caps_unknown", False)


@pytest.mark.parametrize(("doubtful", "status"), [(False, "failed"), (True, "uncertain")])
def test_an_erased_recipient_is_not_sent_to(doubtful: bool, status: Status) -> None:  # noqa: FBT001
    erased = Free(10, NOW_S, doubtful=doubtful, erased=True)
    transition = decide_before_call(erased, NOW_S, FRESH.terms(MAIL, UNJITTERED))
    assert transition is not None
    assert (transition.outcome.status, transition.outcome.code) == (status, "erased")


@pytest.mark.parametrize(
    ("terms", "status", "queries_status"),
    [(MAIL, "retrying", False), (SMS, "uncertain", False), (QUERYING, "retrying", True)],
)
def test_whose_worker_died_is_judged_by_the_rule_for_the_unknown(
    terms: Terms, status: Status, *, queries_status: bool
) -> None:
    transition = decide_before_call(Lapsed(10, NOW_S), NOW_S, FRESH.terms(terms, UNJITTERED))
    assert transition is not None
    assert (transition.outcome.status, transition.outcome.code) == (status, "claim_expired")
    assert (transition.queries_status, transition.doubtful) == (queries_status, status == "retrying")


@pytest.mark.parametrize(
    ("asked", "result", "status", "step_s"),
    [
        (0, UNKNOWN, "retrying", 10),
        (1, UNKNOWN, "retrying", 60),
        (1, BLOCKED, "retrying", 60),
        (2, UNKNOWN, "uncertain", None),
        (2, SENT, "sent", None),
        (2, REFUSED, "failed", None),
        (2, AGAIN, "retrying", 10),
    ],
)
def test_the_answer_to_a_status_query_decides_the_next_step(
    asked: int, result: Result, status: Status, step_s: int | None
) -> None:
    standing = replace(FRESH, asked=asked, doubtful=True)
    transition = decide_status(standing.state, result, NOW_S, standing.terms(QUERYING, UNJITTERED))
    assert (transition.outcome.status, transition.step_s) == (status, step_s)
    assert not transition.doubtful or transition.queries_status, "what was certainly never taken is in doubt no more"


def test_a_status_query_that_no_step_is_long_enough_for_takes_the_longest() -> None:
    slow = replace(QUERYING, query_after_s=(STEPS_S[-1] + 1,))
    transition = decide_next(UNKNOWN, terms=slow)
    assert (transition.step_s, transition.uses_attempt) == (STEPS_S[-1], False)


def test_what_broke_the_worker_too_often_has_failed() -> None:
    transition = decide_dead(11, NOW_S, FRESH.terms(MAIL, UNJITTERED))
    assert (transition.outcome.n, transition.outcome.status, transition.outcome.code) == (11, "failed", "dead_letter")


def test_what_may_be_repeated() -> None:
    assert may_repeat(MAIL, 80_000)
    assert not may_repeat(SMS, 0)
    assert may_repeat(WECHAT, 539)
    assert not may_repeat(WECHAT, 540)


def chunk() -> Job:
    """Make a chunk of four."""
    return Job(
        request="0" * 32,
        chunk=10,
        username="zhang",
        user_id="0" * 32,
        method="smtp",
        lane=Lane.BULK,
        content="您好",
        recipients=tuple(Recipient(n=n, to=str(n), address=str(n)) for n in range(10, 14)),
        accepted_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        extended_s=86_400 - 40,
        attempt=2,
        fencing_token=5,
    )


def test_recipients_that_come_again_alike_share_a_copy() -> None:
    job = chunk()
    plan = RetryPlan(job)
    assert not plan
    for recipient in reversed(job.recipients[:2]):
        plan.add_next(recipient, 10, uses_attempt=True)
    plan.add_next(job.recipients[2], 60, uses_attempt=True)
    plan.add_next(job.recipients[3], 60, uses_attempt=False)
    made = {(copy.attempt, step_s): copy for copy, step_s in plan.jobs()}
    assert {way: [recipient.n for recipient in copy.recipients] for way, copy in made.items()} == {
        (3, 10): [10, 11],
        (3, 60): [12],
        (2, 60): [13],
    }
    assert {(copy.fencing_token, copy.chunk, copy.name) for copy in made.values()} == {(6, 10, job.name)}


def test_a_block_extends_the_life_by_what_was_waited_up_to_a_day_in_all() -> None:
    job = chunk()
    plan = RetryPlan(job)
    plan.add_next(job.recipients[0], 10, uses_attempt=False)
    plan.add_next(job.recipients[1], 60, uses_attempt=False)
    short, long = (copy for copy, _ in plan.jobs())
    assert short.expires_at - job.expires_at == timedelta(seconds=10)
    assert long.expires_at - job.expires_at == timedelta(seconds=40)
    assert long.extended_s == 86_400


def test_what_is_looked_at_again_comes_as_it_is() -> None:
    job = chunk()
    plan = RetryPlan(job)
    plan.add_same(job.recipients[1], 60, broken=2)
    ((copy, step_s),) = plan.jobs()
    assert step_s == 60
    assert copy == job.model_copy(update={"recipients": job.recipients[1:2]})
    assert plan.starts() == {"start/5/11": 2}


def test_what_may_kill_comes_in_a_copy_of_its_own() -> None:
    job = chunk()
    plan = RetryPlan(job)
    for recipient in job.recipients:
        plan.add_next(recipient, 10, uses_attempt=True, broken=2, is_isolated=True)
    assert [[recipient.n for recipient in copy.recipients] for copy, _ in plan.jobs()] == [[10], [11], [12], [13]]
    assert plan.starts() == dict.fromkeys(("start/6/10", "start/6/11", "start/6/12", "start/6/13"), 2)
