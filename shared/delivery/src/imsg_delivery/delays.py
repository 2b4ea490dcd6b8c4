"""Which of the broker's steps a message waits in before its next attempt."""

from collections.abc import Sequence

JITTER = 0.25
"""The share of retries that moves to a neighbouring step, so that what failed together does not return together."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 5.0
"""Of the back-off after failures of a server of ours: broker or Redis."""


def step(steps_s: Sequence[int], attempt: int, asked_s: float, left_s: float, draw: float) -> int | None:
    """Choose how long to wait after this attempt, in seconds; None where the message would come back too late.

    `steps_s` rises; `asked_s` is what the provider asked for (0: nothing), `left_s` what is left of the message's
    life, `draw` a random number in [0, 1). It is the step of the attempt's number or, if more was asked, the smallest
    not below it; one that would return too late gives way to the largest that does not and is not below what was
    asked; then jittered to a neighbour that fits. More than the largest step is waited for in several rounds.
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
