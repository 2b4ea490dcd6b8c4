"""Whole lives of one recipient, however provider and workers behave: none is lost, none sent again against the rule."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import STEPS_S, Lane
from imsg_contract.wire import SETTLED, Job, Outcome, Recipient, Status
from imsg_delivery.channel import Terms
from imsg_delivery.claims.records import Claimed, Delayed, Free, Lapsed, Transition
from imsg_delivery.decide import AttemptTerms, decide, decide_before_call, decide_status
from imsg_delivery.retry_plan import plan_retries

NOW = datetime(2026, 11, 24, tzinfo=UTC)

MAIL = Terms(chunk_size=50, call_size=1, concurrency=dict.fromkeys(Lane, 1), uncertain="repeat")
SMS = replace(MAIL, uncertain="stop")
CHANNELS = [
    MAIL,
    SMS,
    replace(MAIL, repeat_for_s=540),
    replace(SMS, query_after_s=(10, 60, 300)),
    replace(MAIL, query_after_s=(10,)),
]

SENT, REFUSED = Sent("relay", "id"), Refused("relay", "550", "no such user")
UNKNOWN = Unknown("relay", "timeout", "no answer")


@dataclass(frozen=True)
class Event:
    """What happens in one delivery: a call's result, or its worker's death beside it."""

    result: Result | Literal["dies"]
    is_taken: bool
    """Whether the provider has the message where the result does not say so."""
    erased: bool


def results() -> st.SearchStrategy[Result]:
    """Draw whatever a channel may answer."""
    seconds = st.sampled_from([0.0, 1.0, 45.0, 400.0, 20_000.0])
    again = st.builds(Again, st.just("relay"), st.just("451"), st.just("later"), seconds)
    blocked = st.builds(Blocked, st.just("relay"), st.just("account"), st.just("535"), st.just("closed"), seconds)
    return st.one_of(st.just(SENT), st.just(REFUSED), st.just(UNKNOWN), again, blocked)


EVENTS = st.lists(
    st.builds(
        Event,
        st.one_of(results(), st.just("dies")),
        st.booleans(),
        st.sampled_from([False] * 9 + [True]),
    ),
    max_size=30,
)


@dataclass
class Life:
    """One recipient, from its acceptance to its end, and whether the provider has it."""

    channel: Terms
    draw: float
    job: Job
    now_s: float = NOW.timestamp()
    first_s: float = NOW.timestamp()
    doubtful: bool = False
    lapsed: bool = False
    is_taken: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    def deliver(self, event: Event) -> bool:
        """Deliver the copy; return whether the recipient has ended."""
        terms = AttemptTerms(self.job, self.channel, STEPS_S, (1, *STEPS_S), self.draw)
        state: Claimed = Free(0, self.first_s, doubtful=self.doubtful, erased=event.erased)
        if self.lapsed:
            state = Lapsed(0, self.first_s, erased=event.erased)
        transition = self._ask(event, state, terms) if self.job.status_query else self._send(event, state, terms)
        return transition is not None and self._follow(transition, terms)

    def _ask(self, event: Event, state: Claimed, terms: AttemptTerms) -> Transition:
        truth: Result = SENT if self.is_taken else Again("relay", "not_taken", "never")
        return decide_status(state, UNKNOWN if isinstance(event.result, Unknown) else truth, self.now_s, terms)

    def _send(self, event: Event, state: Claimed, terms: AttemptTerms) -> Transition | None:
        if (held := decide_before_call(state, self.now_s, terms)) is not None:
            return held
        self._check_that_it_may_be_sent(event)
        if event.result == "dies" or isinstance(event.result, Unknown):
            self.is_taken |= event.is_taken
        if event.result == "dies":
            self.lapsed = True  # the delivery comes again, and finds its claim expired
            self.now_s += 30
            return None
        return decide(state, event.result, self.now_s, terms)

    def _check_that_it_may_be_sent(self, event: Event) -> None:
        assert not event.erased
        assert not self.outcomes or self.outcomes[-1].status == Status.RETRYING
        assert self.now_s < self.job.expires_at.timestamp()
        if self.is_taken:
            assert self.channel.uncertain == "repeat", "it was sent already"
            within_s = self.channel.repeat_for_s
            assert within_s is None or self.now_s - self.first_s < within_s, "nothing protects it from a duplicate"

    def _follow(self, transition: Transition, terms: AttemptTerms) -> bool:
        self.outcomes.append(transition.outcome)
        assert (transition.step_s is None) == (transition.outcome.status in SETTLED)
        if transition.step_s is None:
            return True
        record = Delayed(
            transition.outcome,
            transition.step_s,
            transition.uses_attempt,
            handed=False,
            queries_status=transition.queries_status,
        )
        ((copy, step_s),) = plan_retries(terms, {0: record}, broken=0).jobs()
        assert [recipient.n for recipient in copy.recipients] == [0], "it comes again in one copy"
        assert copy.fencing_token == self.job.fencing_token + 1
        self.now_s += step_s
        assert transition.queries_status or self.now_s < copy.expires_at.timestamp(), "it comes back in time"
        self.job, self.doubtful, self.lapsed = copy, transition.doubtful, False
        return False


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(CHANNELS), st.floats(0, 0.99), st.sampled_from([5, 15, 45, 100, 600, 4_000, 90_000]), EVENTS)
def test_no_transition_loses_a_recipient_and_none_sends_what_was_sent(
    channel: Terms, draw: float, life_s: int, events: list[Event]
) -> None:
    job = Job(
        request="0" * 32,
        chunk=0,
        username="zhang",
        user_id="0" * 32,
        method="smtp",
        lane=Lane.NORMAL,
        content="您好",
        recipients=(Recipient(n=0, to="0", address="0"),),
        accepted_at=NOW,
        expires_at=NOW + timedelta(seconds=life_s),
    )
    life = Life(channel, draw, job)
    told = Event(SENT, is_taken=True, erased=False)
    ended = any(life.deliver(event) for event in [*events, *[told] * 9])
    assert ended, "once the provider answers it ends"
    end = life.outcomes[-1]
    assert [outcome.status in SETTLED for outcome in life.outcomes] == [False] * (len(life.outcomes) - 1) + [True]
    assert end.status != Status.EXPIRED or not life.is_taken, "what may have arrived is not called expired"
