"""The wait before another try: it doubles, has bounds, and is never the same for everybody."""

from hypothesis import given
from hypothesis import strategies as some

from imsg_runtime.back_off import back_off_s

DRAWS = some.floats(0, 1, exclude_max=True)


def test_it_doubles_up_to_the_longest() -> None:
    waits = [back_off_s(failures, 0.999_999, first_s=0.2, longest_s=5) for failures in range(1, 8)]

    assert [round(wait, 3) for wait in waits] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@given(some.integers(0, 10**9), DRAWS)
def test_it_stays_within_its_bounds_however_often_something_failed(failures: int, draw: float) -> None:
    assert 0.1 <= back_off_s(failures, draw, first_s=0.2, longest_s=5) <= 5


@given(some.integers(1, 40), DRAWS)
def test_jitter_takes_off_half_at_most(failures: int, draw: float) -> None:
    least = back_off_s(failures, 0.0, first_s=0.05, longest_s=30)

    assert least <= back_off_s(failures, draw, first_s=0.05, longest_s=30) <= least * 2
