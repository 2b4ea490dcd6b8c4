"""The arithmetic of measuring: medians, percentiles, ratios of what was measured in the same round."""

from collections.abc import Sequence
from statistics import median

__all__ = ["median", "percentile", "ratios", "round_figure", "spread"]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie: the nearest rank, never an invented value.

    Raises ValueError where there are none.
    """
    if not values:
        raise ValueError("no values")
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no share")
    ordered = sorted(values)
    # The nearest rank is ceil(share × n); whole numbers of a thousandth keep 0.95 × 20 from being 19.000000000000004.
    rank = -(-round(share * 1_000_000) * len(ordered) // 1_000_000)
    return ordered[max(1, rank) - 1]


def ratios(subject: Sequence[float], floor: Sequence[float]) -> tuple[float, ...]:
    """Divide round by round: what slows the machine for a moment slows both of a round.

    Raises ValueError where the rounds don't pair or a floor is 0.
    """
    if len(subject) != len(floor):
        raise ValueError(f"{len(subject)} rounds beside {len(floor)}")
    if any(value <= 0 for value in floor):
        raise ValueError("a floor of 0 has no ratio")
    return tuple(value / other for value, other in zip(subject, floor, strict=True))


def spread(values: Sequence[float]) -> float:
    """Return how far the rounds lie apart, as a share of their median: (highest - lowest) / median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def round_figure(value: float) -> str:
    """Write a figure with three digits that count, and thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 100:  # noqa: PLR2004  three digits stand before the point
        return f"{round(value):,}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3  # noqa: PLR2004
    return f"{value:.{digits}f}"
