"""The arithmetic that every figure rests on."""

import pytest

from imsg_bench.figures import percentile, ratios, round_figure, spread


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1) == 100
    assert percentile(values, 0) == 1


def test_a_percentile_takes_the_nearest_rank_in_whatever_order() -> None:
    """0.95 × 20 is 19, not 19.000000000000004, whose ceiling would be 20."""
    assert percentile([float(value) for value in reversed(range(20))], 0.95) == 18
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_there_is_no_percentile_of_nothing_and_no_share_beyond_one(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match=r"no (values|share)"):
        percentile(values, share)


def test_ratios_are_of_the_same_round() -> None:
    """A machine that was half as fast in the second round changes no ratio."""
    assert ratios([800, 400], [1_000, 500]) == (0.8, 0.8)


@pytest.mark.parametrize(("subject", "floor"), [([1.0], [1.0, 2.0]), ([1.0], [0.0])])
def test_rounds_that_do_not_pair_and_a_floor_of_nothing_are_refused(subject: list[float], floor: list[float]) -> None:
    with pytest.raises(ValueError, match=r"rounds beside|has no ratio"):
        ratios(subject, floor)


def test_the_spread_is_a_share_of_the_median() -> None:
    assert spread([90, 100, 120]) == pytest.approx(0.3)
    assert spread([0, 0]) == 0


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (0.44321, "0.443"), (1.2345, "1.23"), (56.78, "56.8"), (1234.5, "1,234"), (20_000, "20,000")],
)
def test_three_digits_count(value: float, written: str) -> None:
    assert round_figure(value) == written
