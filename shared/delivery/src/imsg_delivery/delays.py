"""Chooses the broker's delay step before a message's next attempt."""

from collections.abc import Sequence

JITTER = 0.25
"""The share of retries that moves to a neighbouring step, so that what failed together does not return together."""

FIRST_WAIT_S, MAX_WAIT_S = 0.05, 5.0
"""The back-off after failures of the broker or Redis."""


def step(steps_s: Sequence[int], attempt: int, asked_s: float, left_s: float, draw: float) -> int | None:
    """Return the delay after this attempt in seconds; None where the message would return after its life.

    `steps_s` is ascending; `asked_s` is the wait that the provider asked for (0: none), `left_s` the rest of the
    message's life, `draw` a random number in [0, 1). The attempt's number chooses a step; if the provider asked for
    more, the smallest step of at least `asked_s`; if that exceeds the life, the largest that does not. Jitter then
    moves some messages to a neighbouring step that fits. A wait longer than the largest step takes several rounds.
    """
    if asked_s >= left_s:
        return None
    floor = min(asked_s, steps_s[-1])
    fitting = [step_s for step_s in steps_s if floor <= step_s < left_s]
    if not fitting:
        return None
    wanted = max(steps_s[min(attempt, len(steps_s)) - 1], floor)
    place = next((at for at, step_s in enumerate(fitting) if step_s >= wanted), len(fitting) - 1)
    neighbours = [fitting[at] for at in (place - 1, place + 1) if 0 <= at < len(fitting)]
    if draw < JITTER and neighbours:
        return neighbours[int(draw / JITTER * len(neighbours))]
    return fitting[place]
