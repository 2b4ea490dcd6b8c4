"""Decides a recipient's transition from its claimed state and a result. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.wire import CANCELLED, Job, Outcome, Status
from imsg_delivery.channel import Terms
from imsg_delivery.claims.records import Claimed, Free, Lapsed, Transition
from imsg_delivery.delays import step
from imsg_limits.caps import CapRow
from imsg_people.suppressions import UNKNOWN

MAX_EXTENSION_S = 86_400
"""By how much blocks may extend a job's life in all (promise 5)."""

MAX_PACED_S = 600
"""By how much waits for a rate limit may; longer waits count against the job's life."""

UNJITTERED = 1.0
"""A random draw that does not move the step."""

MAX_DETAIL = 500
"""Characters of a provider's answer that are kept."""

NO_ATTEMPT = 0
"""The attempt number of a message that ended without an attempt."""

CLAIM_EXPIRED = "claim_expired"
"""The code of an attempt whose worker died or stalled over it."""

ERASED = "erased"
"""The code of a message whose recipient's data was erased before it could be sent."""

SUPPRESSED = "suppressed"
"""The code of a message whose recipient is on the suppression list."""

SUPPRESSIONS_UNKNOWN = "suppressions_unknown"
"""The code of a marketing message that waits while the suppression list can't be read."""

LOOK_AGAIN_S = 10.0
"""How long such a message waits before the next attempt."""

CANCELS_UNKNOWN = Blocked(
    "",
    "cancels",
    "cancels_unknown",
    "The list of cancelled messages can't be read now; the message waits until it can. Check that scheduler runs.",
    LOOK_AGAIN_S,
    was_called=False,
)
"""The result for messages that are older than what Redis has lost, until the cancel records are there again."""

RECIPIENT_CAP = "recipient_cap"
"""The code of a message whose recipient has reached a cap."""

CAPS_UNKNOWN = Blocked(
    "", "caps", "caps_unknown", "The counts of its recipient's cap can't be read now.", LOOK_AGAIN_S, was_called=False
)
"""The result for messages whose caps can't be counted now."""

DEAD = "dead_letter"
"""The code of a message whose job is a dead letter; history answers the same for what it settles itself."""


@dataclass(frozen=True, slots=True)
class AttemptTerms:
    """The terms by which all recipients of one delivery are decided."""

    job: Job
    channel: Terms
    steps_s: Sequence[int]
    waits_s: Sequence[int]
    """The steps, and those of status queries."""
    draw: float
    """A random number in [0, 1), one for the chunk, so that recipients that failed together are retried together."""


def decide(state: Claimed, result: Result, now_s: float, terms: AttemptTerms) -> Transition:
    """Return the transition for a channel's result.

    After Unknown the provider's status is queried, if the channel supports that; else `Terms.uncertain` decides
    (promise 4). A message without time for another try ends `expired`, or `uncertain` where the provider may have it.
    """
    job, channel = terms.job, terms.channel
    if isinstance(result, Unknown) and job.status_query < len(channel.query_after_s):
        return _query_later(state, result, now_s, terms)
    left_s = job.expires_at.timestamp() - now_s
    match result:
        case Sent():
            return _end(state, Status.SENT, result, now_s, terms)
        case Refused():
            return _end(state, Status.FAILED, result, now_s, terms)
        case Unknown() if channel.uncertain == "stop":
            return _end(state, Status.UNCERTAIN, result, now_s, terms)
        case Unknown():
            asked_s = 0.0
        case Again() | Blocked():
            asked_s = result.after_s
    is_attempt = _uses_attempt(result, job)
    if not is_attempt:
        left_s += MAX_EXTENSION_S - job.extended_s
    doubtful = state.doubtful or isinstance(result, Unknown)
    if doubtful and channel.repeat_for_s is not None:
        left_s = min(left_s, channel.repeat_for_s - (now_s - state.first_s))
    wait_s = _choose_step(terms, asked_s, left_s, is_attempt=is_attempt)
    if wait_s is None:
        return _end(state, Status.UNCERTAIN if doubtful else Status.EXPIRED, result, now_s, terms)
    outcome = _outcome_of(state.n, Status.RETRYING, result, now_s, terms)
    return Transition(outcome, wait_s, uses_attempt=is_attempt, doubtful=doubtful)


def _choose_step(terms: AttemptTerms, asked_s: float, left_s: float, *, is_attempt: bool) -> int | None:
    """Choose a step; after a block the first one, however many attempts there were."""
    if is_attempt:
        return step(terms.steps_s, terms.job.attempt, asked_s, left_s, terms.draw)
    return step(terms.steps_s, 1, asked_s if asked_s >= terms.steps_s[:2][-1] else 0.0, left_s, UNJITTERED)


def _uses_attempt(result: Result, job: Job) -> bool:
    """Return whether a result counts as an attempt: Blocked does not, nor does, for MAX_PACED_S, a wait for a pace."""
    if isinstance(result, Again):
        return not (result.is_paced and job.extended_s < MAX_PACED_S)
    return not isinstance(result, Blocked)


def decide_before_call(state: Claimed, now_s: float, terms: AttemptTerms) -> Transition | None:
    """Return the transition of a recipient that must not be sent now; None where it may be sent."""
    if (excluded := _exclude(state, now_s, terms)) is not None:
        return excluded
    if isinstance(state, Lapsed):
        died = Unknown("", CLAIM_EXPIRED, "The worker that was sending it ended meanwhile.")
        return decide(state, died, now_s, terms)
    expires_s = terms.job.expires_at.timestamp()
    is_late = now_s >= expires_s
    if is_late and not (state.doubtful and terms.channel.query_after_s):
        # The time is that at which history expires messages of a paused channel: both write the same outcome.
        return _stop(state, Status.EXPIRED, Refused("", "expired", "Its time was over"), expires_s, terms)
    if state.doubtful and (is_late or not may_repeat(terms.channel, now_s - state.first_s)):
        unclear = Unknown("", "not_repeated", "It may have been sent, and may not be repeated.")
        return decide(state, unclear, now_s, terms)
    return None


def _exclude(state: Claimed, now_s: float, terms: AttemptTerms) -> Transition | None:
    """Return the transition of a message that is erased, cancelled or suppressed; None otherwise.

    A message that the provider may have is not cancelled.
    """
    if state.erased:
        return decide_erased(state, now_s, terms)
    if state.cancelled and not state.doubtful:
        return _stop(state, Status.CANCELLED, Refused("", CANCELLED, "It was cancelled"), now_s, terms)
    if state.cancelled is None and not state.doubtful:
        return decide(state, CANCELS_UNKNOWN, now_s, terms)
    if state.suppressed and (state.suppressed != UNKNOWN or isinstance(state, Free)):
        return _suppress(state, now_s, terms)
    return None


def _suppress(state: Claimed, now_s: float, terms: AttemptTerms) -> Transition:
    if state.suppressed == UNKNOWN:
        detail = "The suppression list can't be read now; marketing waits until it can. Check that catalog runs."
        blocked = Blocked("", "suppressions", SUPPRESSIONS_UNKNOWN, detail, LOOK_AGAIN_S, was_called=False)
        return decide(state, blocked, now_s, terms)
    why = f"Its recipient is on the suppression list ({state.suppressed})"
    return _stop(state, Status.FAILED, Refused("", SUPPRESSED, why), now_s, terms)


def may_repeat(channel: Terms, tried_for_s: float) -> bool:
    """Return whether a message that the provider may have may be sent again now."""
    return channel.uncertain == "repeat" and (channel.repeat_for_s is None or tried_for_s < channel.repeat_for_s)


def decide_status(state: Claimed, result: Result, now_s: float, terms: AttemptTerms) -> Transition:
    """Return the transition for the result of a status query."""
    if isinstance(result, Blocked):  # the query itself was not possible
        result = Unknown(result.provider, result.code, result.detail)
    # The reply covers every attempt so far: a message that was never accepted is not in doubt any more.
    return decide(Free(state.n, state.first_s, doubtful=False), result, now_s, terms)


def decide_erased(state: Claimed, now_s: float, terms: AttemptTerms) -> Transition:
    """Return the transition of a message whose recipient was erased after its acceptance."""
    return _stop(state, Status.FAILED, Refused("", ERASED, "The recipient's data was erased"), now_s, terms)


def decide_capped(state: Claimed, row: CapRow, now_s: float, terms: AttemptTerms) -> Transition:
    """Return the transition of a message whose recipient has reached a cap."""
    why = f"Its recipient had reached the cap {row.id}, {row.limit} in a {row.per},"
    return _stop(state, Status.FAILED, Refused("", RECIPIENT_CAP, why), now_s, terms)


def decide_dead(n: int, now_s: float, terms: AttemptTerms) -> Transition:
    """Return the transition of a message whose job is a dead letter."""
    died = Refused("", DEAD, "It broke the worker three times; nobody tries it again.")
    return Transition(_outcome_of(n, Status.FAILED, died, now_s, terms))


def _stop(state: Claimed, status: Status, why: Refused, now_s: float, terms: AttemptTerms) -> Transition:
    """End a message that is not sent again: with `status`, or `uncertain` where an earlier attempt may have sent it.

    The outcome is of no attempt: its number is NO_ATTEMPT.
    """
    if state.doubtful:
        status, why = Status.UNCERTAIN, replace(why, detail=f"{why.detail}; an earlier attempt may have sent it.")
    else:
        why = replace(why, detail=f"{why.detail} before it could be sent.")
    outcome = _outcome_of(state.n, status, why, now_s, terms)
    return Transition(outcome.model_copy(update={"attempt": NO_ATTEMPT}))


def _end(state: Claimed, status: Status, result: Result, now_s: float, terms: AttemptTerms) -> Transition:
    return Transition(_outcome_of(state.n, status, result, now_s, terms))


def _query_later(state: Claimed, result: Unknown, now_s: float, terms: AttemptTerms) -> Transition:
    """Delay a message until the next status query, however little is left of its life."""
    wanted_s = terms.channel.query_after_s[terms.job.status_query]
    wait_s = next((step_s for step_s in terms.waits_s if step_s >= wanted_s), terms.waits_s[-1])
    outcome = _outcome_of(state.n, Status.RETRYING, result, now_s, terms)
    return Transition(outcome, wait_s, uses_attempt=False, doubtful=True, queries_status=True)


def _outcome_of(n: int, status: Status, result: Result, now_s: float, terms: AttemptTerms) -> Outcome:
    return Outcome(
        request=terms.job.request,
        n=n,
        attempt=terms.job.attempt,
        status=status,
        provider=result.provider or None,
        provider_id=result.provider_id if isinstance(result, Sent) else None,
        code=None if isinstance(result, Sent) else result.code,
        detail=result.detail[:MAX_DETAIL] if result.detail else None,
        at=datetime.fromtimestamp(now_s, UTC),
        was_called=not isinstance(result, Again | Blocked) or result.was_called,
        hops=tuple(replace(hop, detail=hop.detail[:MAX_DETAIL]) for hop in result.hops) if result.hops else (),
        segments=result.segments if isinstance(result, Sent) else None,
    )
