"""The choice of a step: never below what was asked, never past the message's life, jittered to what fits."""

from hypothesis import given
from hypothesis import strategies as st

from imsg_contract.topology import STEPS_S
from imsg_delivery.delays import JITTER, step

steps = st.lists(st.integers(1, 20_000), min_size=1, max_size=6, unique=True).map(lambda some: tuple(sorted(some)))
attempts = st.integers(1, 40)
seconds = st.one_of(st.just(0.0), st.floats(0, 40_000))
lives = st.floats(-10, 100_000)
draws = st.floats(0, 1, exclude_max=True)

UNJITTERED = 0.99


@given(steps, attempts, seconds, lives, draws)
def test_a_step_is_one_of_them_and_ends_within_the_life(
    some: tuple[int, ...], attempt: int, asked_s: float, left_s: float, draw: float
) -> None:
    chosen = step(some, attempt, asked_s, left_s, draw)
    if chosen is not None:
        assert chosen in some
        assert chosen < left_s
        assert chosen >= min(asked_s, some[-1])


@given(steps, attempts, seconds, lives, draws)
def test_none_is_given_exactly_where_none_fits(
    some: tuple[int, ...], attempt: int, asked_s: float, left_s: float, draw: float
) -> None:
    fits = asked_s < left_s and any(min(asked_s, some[-1]) <= delay_s < left_s for delay_s in some)
    assert (step(some, attempt, asked_s, left_s, draw) is not None) == fits


@given(steps, attempts, seconds, lives)
def test_unjittered_it_is_the_one_the_design_names(
    some: tuple[int, ...], attempt: int, asked_s: float, left_s: float
) -> None:
    chosen = step(some, attempt, asked_s, left_s, UNJITTERED)
    if chosen is None:
        return
    own = some[min(attempt, len(some)) - 1]
    asked = min(asked_s, some[-1])
    named = own if asked <= own else min(delay_s for delay_s in some if delay_s >= asked)
    if named < left_s:
        assert chosen == named
    else:
        assert chosen == max(delay_s for delay_s in some if asked <= delay_s < left_s)


@given(steps, attempts, seconds, lives, draws)
def test_jitter_moves_to_a_neighbour_at_most(
    some: tuple[int, ...], attempt: int, asked_s: float, left_s: float, draw: float
) -> None:
    plain = step(some, attempt, asked_s, left_s, UNJITTERED)
    moved = step(some, attempt, asked_s, left_s, draw)
    if plain is None or moved is None:
        assert plain == moved
    else:
        assert abs(some.index(plain) - some.index(moved)) <= (draw < JITTER)


def test_the_first_attempts_wait_ten_seconds_a_minute_five_and_so_on() -> None:
    waits = [step(STEPS_S, attempt, 0, 86_400, UNJITTERED) for attempt in range(1, 8)]
    assert waits == [10, 60, 300, 1_800, 10_800, 10_800, 10_800]


def test_a_greylisted_message_waits_as_long_as_it_was_asked_to() -> None:
    assert step(STEPS_S, 1, 61, 3_600, UNJITTERED) == 300
    assert step(STEPS_S, 1, 61, 3_600, 0.0) == 1_800


def test_a_message_with_little_time_left_takes_the_largest_step_that_fits() -> None:
    assert step(STEPS_S, 4, 0, 400, UNJITTERED) == 300
    assert step(STEPS_S, 4, 301, 400, UNJITTERED) is None


def test_more_than_the_largest_step_is_waited_for_in_rounds() -> None:
    assert step(STEPS_S, 1, 40_000, 86_400, UNJITTERED) == 10_800
    assert step(STEPS_S, 1, 40_000, 30_000, UNJITTERED) is None
