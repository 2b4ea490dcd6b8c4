"""The breaker opens after failures in a row, cools off, and lets one try decide."""

from imsg_delivery.circuit_breaker import Breaker


class Watch:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def make_open(watch: Watch) -> Breaker:
    """Make a breaker that has just opened."""
    breaker = Breaker(3, 30.0, watch)
    for _ in range(3):
        breaker.note_failure()
    return breaker


def test_it_opens_at_the_threshold_and_not_before() -> None:
    breaker = Breaker(3, 30.0, Watch())
    breaker.note_failure()
    breaker.note_failure()
    assert breaker.claim_try() == 0.0
    breaker.note_failure()
    assert breaker.claim_try() == 30.0


def test_a_success_forgets_the_failures_before_it() -> None:
    breaker = Breaker(3, 30.0, Watch())
    for _ in range(5):
        breaker.note_failure()
        breaker.note_failure()
        breaker.note_success()
    assert breaker.claim_try() == 0.0


def test_it_says_how_long_it_stays_open() -> None:
    watch = Watch()
    breaker = make_open(watch)
    watch.now += 12
    assert breaker.claim_try() == 18.0


def test_after_the_cool_off_one_may_try_and_the_others_wait() -> None:
    watch = Watch()
    breaker = make_open(watch)
    watch.now += 30
    assert breaker.claim_try() == 0.0
    assert breaker.claim_try() == 30.0


def test_the_one_try_decides() -> None:
    watch = Watch()
    breaker = make_open(watch)
    watch.now += 30
    assert breaker.claim_try() == 0.0
    watch.now += 5
    breaker.note_failure()
    assert breaker.claim_try() == 30.0
    watch.now += 30
    assert breaker.claim_try() == 0.0
    breaker.note_success()
    assert breaker.claim_try() == 0.0


def test_a_try_that_never_tells_does_not_close_it_for_ever() -> None:
    watch = Watch()
    breaker = make_open(watch)
    watch.now += 30
    assert breaker.claim_try() == 0.0
    watch.now += 30
    assert breaker.claim_try() == 0.0
