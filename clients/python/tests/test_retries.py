"""What is repeated, and after how long."""

import pytest

from imsg_client.retries import MAX_S, Failure, wait_before_repeat

LOST = Failure()
NEVER_SENT = Failure(was_sent=False)
NOT_ACCEPTED = Failure(status=503, reason="not_accepted")
UNKNOWN = Failure(status=503, reason="outcome_unknown")
PROXY = Failure(status=502)
RUNNING = Failure(status=409, reason="in_progress")
USED = Failure(status=409, reason="key_reused")
LIMITED = Failure(status=429, reason="per_hour_used_up", retry_after_s=20)
REFUSED = Failure(status=400, reason="recipients_invalid")
BUG = Failure(status=500, reason="bug")


def wait(
    failure: Failure, *, is_repeatable: bool, tries: int = 0, left_s: float = 60, chance: float = 0
) -> float | None:
    return wait_before_repeat(failure, is_repeatable=is_repeatable, tries=tries, left_s=left_s, chance=chance)


@pytest.mark.parametrize("failure", [NEVER_SENT, NOT_ACCEPTED, LIMITED])
@pytest.mark.parametrize("is_repeatable", [True, False])
def test_where_nothing_was_done_everything_is_repeated(failure: Failure, is_repeatable: bool) -> None:  # noqa: FBT001
    assert wait(failure, is_repeatable=is_repeatable) is not None


@pytest.mark.parametrize("failure", [LOST, UNKNOWN, PROXY, RUNNING])
def test_where_something_may_have_been_done_only_what_a_repeat_cannot_double(failure: Failure) -> None:
    assert wait(failure, is_repeatable=True) is not None
    assert wait(failure, is_repeatable=False) is None


@pytest.mark.parametrize("failure", [REFUSED, USED, BUG])
def test_what_a_repeat_does_not_mend_is_not_repeated(failure: Failure) -> None:
    assert wait(failure, is_repeatable=True) is None


def test_pauses_grow_to_a_bound_and_are_spread() -> None:
    pauses = [wait(LOST, is_repeatable=True, tries=tries) or 0 for tries in range(12)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_S / 2
    assert wait(LOST, is_repeatable=True, tries=12, chance=0.999) == pytest.approx(MAX_S, rel=0.01)


def test_what_the_server_asks_for_is_kept_or_given_up_at_once() -> None:
    assert wait(LIMITED, is_repeatable=True, left_s=60) == 20
    assert wait(LIMITED, is_repeatable=True, left_s=10) is None
