"""How long to wait before something that failed is tried again."""

DOUBLINGS = 30
"""Enough for any bound; more failures than that must not overflow."""


def back_off_s(failures: int, draw: float, *, first_s: float, longest_s: float) -> float:
    """Double `first_s` with every failure after the first, up to `longest_s`, and take up to half of it off.

    `failures` counts from 1; `draw` is a random number in [0, 1), so that what failed together does not return
    together.
    """
    doubled_s = first_s * 2.0 ** min(max(failures, 1) - 1, DOUBLINGS)
    return min(doubled_s, longest_s) * (0.5 + draw / 2)
