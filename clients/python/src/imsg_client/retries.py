"""Whether and when a call is repeated. Pure: no clock, no network.

A call may be repeated after a lost answer only where a repeat can do no harm: GET, and what carries an
Idempotency-Key (docs of the interface: the same key and body get the first answer again, uncounted, for 24 h).
"""

from dataclasses import dataclass

FIRST_S = 0.25
MAX_S = 8.0

UNAVAILABLE = frozenset({502, 503, 504})
TOO_MANY = 429
CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Failure:
    """How a try ended that did not succeed."""

    was_sent: bool = True
    """False where the connection was never made: whatever the call, nothing was done."""
    status: int | None = None
    """HTTP's status; None where no answer came."""
    reason: str = ""
    """The refusal's `reason`."""
    retry_after_s: float | None = None


def wait_before_repeat(
    failure: Failure, *, is_repeatable: bool, tries: int, left_s: float, chance: float
) -> float | None:
    """Return how many seconds to wait before the next try; None: do not repeat.

    `tries` were made before the failed one, `left_s` is left of the client's patience, `chance` is a random number of
    [0, 1) that spreads many clients' repeats (half of the wait is fixed, half is chance).
    """
    if not _may_repeat(failure, is_repeatable=is_repeatable):
        return None
    wait_s = min(MAX_S, FIRST_S * 2**tries) * (0.5 + chance / 2)
    wait_s = max(wait_s, failure.retry_after_s or 0.0)
    return wait_s if wait_s <= left_s else None


def _may_repeat(failure: Failure, *, is_repeatable: bool) -> bool:
    if not failure.was_sent:
        return True
    if failure.status is None:
        return is_repeatable
    if failure.status == CONFLICT:
        return is_repeatable and failure.reason == "in_progress"
    if failure.status == TOO_MANY:
        return True  # refused before anything was done
    if failure.status in UNAVAILABLE:
        # `not_accepted` and `unavailable` say that nothing was done; a proxy's own answer and `outcome_unknown` do not.
        return is_repeatable or failure.reason in ("not_accepted", "unavailable", "broker_blocked", "overloaded")
    return False
