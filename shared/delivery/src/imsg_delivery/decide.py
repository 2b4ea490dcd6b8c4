"""What becomes of a message after one attempt: a channel's result, turned into a status and perhaps another try."""

from collections.abc import Sequence
from dataclasses import dataclass

from imsg_contract.wire import Again, Blocked, Refused, Result, Sent, Status, Unknown
from imsg_delivery.channel import Terms
from imsg_delivery.delays import step

MAX_EXTENSION_S = 86_400
"""By how much blocks may extend a job's life in all (promise 5)."""

MAX_DETAIL = 500
"""Characters of a provider's answer that are kept."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status of a message after an attempt, what the provider said, and how it goes on where it does."""

    status: Status
    provider: str | None
    provider_id: str | None
    code: str | None
    detail: str | None
    step_s: int | None = None
    """After how long it is tried again; given exactly where the status is `retrying`."""
    uses_attempt: bool = True
    doubtful: bool = False
    """The provider may have it from this attempt or an earlier one."""
    asks: bool = False
    """After the step the provider is asked what became of it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a message stands when its attempt ends."""

    attempt: int
    left_s: float
    """What is left of its life; below 0 where it is over."""
    room_s: float
    """By how much a block may still extend its life."""
    tried_for_s: float
    """How long ago it was tried first."""
    doubtful: bool
    """The provider may have it from an earlier attempt."""
    asked: int = 0
    """How often the provider has been asked since this attempt."""


def judge(result: Result, standing: Standing, terms: Terms, steps_s: Sequence[int], draw: float) -> Verdict:
    """Turn a result into what becomes of the message.

    A message without time for another try ends `expired`, or `uncertain` where the provider may have it.
    Unknown is answered by the channel's one rule (promise 4), and so is every later try of what once was unknown.
    Where the provider can be asked, `ask_later` comes before.
    """
    match result:
        case Sent():
            return _ended(Status.SENT, result)
        case Refused():
            return _ended(Status.FAILED, result)
        case Unknown() if terms.uncertain == "stop":
            return _ended(Status.UNCERTAIN, result)
        case Unknown():
            asked_s, left_s = 0.0, standing.left_s
        case Again():
            asked_s, left_s = result.after_s, standing.left_s
        case Blocked():
            asked_s, left_s = result.after_s, standing.left_s + standing.room_s
    doubtful = standing.doubtful or isinstance(result, Unknown)
    if doubtful and terms.repeat_for_s is not None:
        left_s = min(left_s, terms.repeat_for_s - standing.tried_for_s)
    wait_s = step(steps_s, standing.attempt, asked_s, left_s, draw)
    if wait_s is None:
        return _ended(Status.UNCERTAIN if doubtful else Status.EXPIRED, result)
    return Verdict(
        Status.RETRYING,
        result.provider or None,
        None,
        result.code,
        result.detail[:MAX_DETAIL],
        step_s=wait_s,
        uses_attempt=not isinstance(result, Blocked),
        doubtful=doubtful,
    )


def may_repeat(terms: Terms, tried_for_s: float) -> bool:
    """Tell whether what the provider may have already may be sent to it again now."""
    return terms.uncertain == "repeat" and (terms.repeat_for_s is None or tried_for_s < terms.repeat_for_s)


def too_late(*, doubtful: bool) -> Verdict:
    """Say what becomes of a message whose life ended before its next attempt."""
    if doubtful:
        return Verdict(
            Status.UNCERTAIN, None, None, "expired", "Its time was over; an earlier attempt may have sent it."
        )
    return Verdict(Status.EXPIRED, None, None, "expired", "Its time was over before it could be sent.")


ERASED = "erased"
"""The code of a message whose recipient's data was erased before it could be sent."""


def erased(*, doubtful: bool) -> Verdict:
    """Say what becomes of a message whose recipient was erased after it had been accepted."""
    if doubtful:
        return Verdict(
            Status.UNCERTAIN,
            None,
            None,
            ERASED,
            "The recipient's data was erased; an earlier attempt may have sent it.",
        )
    return Verdict(Status.FAILED, None, None, ERASED, "The recipient's data was erased before it could be sent.")


DEAD = Verdict(Status.FAILED, None, None, "dead_letter", "It broke the worker three times; nobody tries it again.")
"""What becomes of a message whose job is buried; history answers the same code for what it settles itself."""


def _ended(status: Status, result: Result) -> Verdict:
    provider_id = result.provider_id if isinstance(result, Sent) else None
    code = None if isinstance(result, Sent) else result.code
    detail = result.detail[:MAX_DETAIL] if result.detail else None
    return Verdict(status, result.provider or None, provider_id, code, detail)


def ask_later(result: Unknown, standing: Standing, terms: Terms, waits_s: Sequence[int]) -> Verdict | None:
    """Put a message off until its provider is asked what became of it; None where it was asked often enough.

    However little is left of its life: asking sends nothing.
    """
    if standing.asked >= len(terms.ask_after_s):
        return None
    wanted_s = terms.ask_after_s[standing.asked]
    wait_s = next((one for one in waits_s if one >= wanted_s), waits_s[-1])
    detail = result.detail[:MAX_DETAIL]
    return Verdict(
        Status.RETRYING,
        result.provider or None,
        None,
        result.code,
        detail,
        step_s=wait_s,
        uses_attempt=False,
        doubtful=True,
        asks=True,
    )
