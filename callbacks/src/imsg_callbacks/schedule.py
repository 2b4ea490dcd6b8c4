"""When a delivery is tried again, and when an endpoint is given up: Standard Webhooks' schedule, 76 hours in all."""

from dataclasses import dataclass
from datetime import timedelta

STEPS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""What follows each failure (standard-webhooks.md, "Retry schedule and deliverability"): ten attempts in all."""

JITTER = 0.1
"""By how much of a step it may come later, so that what failed together does not return together."""

DISABLED_AFTER = timedelta(days=5)
"""Nothing but failures for so long disables an endpoint."""

GONE = 410
"""The status by which an endpoint unsubscribes (standard-webhooks.md, "Webhook consumers")."""

SUCCESS = range(200, 300)

READER_EXPIRES_AFTER = timedelta(days=7)
"""After so long without a read, a user's messages are no longer recorded as events."""


@dataclass(frozen=True, slots=True)
class EndpointReply:
    """What an attempt came to: an HTTP status, or what kept us from one."""

    status: int | None
    error: str | None = None
    body: str | None = None
    """Its first 4 KiB."""
    retry_after_s: float | None = None
    took_ms: int = 0

    @property
    def is_success(self) -> bool:
        """Whether the endpoint took it; 3xx is none: nothing is followed."""
        return self.status is not None and self.status in SUCCESS

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint has unsubscribed."""
        return self.status == GONE


def next_in_s(failures: int, draw: float, retry_after_s: float | None = None) -> float | None:
    """Say after how many seconds a delivery is tried again that has failed so often; None: no more.

    `draw` is a random number in [0, 1). What the endpoint asks to wait is granted up to twice the step.
    """
    if failures > len(STEPS_S):
        return None
    step_s = STEPS_S[failures - 1]
    wait_s = step_s * (1 + JITTER * draw)
    return wait_s if retry_after_s is None else min(max(wait_s, retry_after_s), 2.0 * step_s)


def must_disable(answer: EndpointReply, failing_since_ms: int | None, now_ms: int) -> str | None:
    """Say why an endpoint is to be disabled after a failure: `gone`, `failing`, or None."""
    if answer.is_gone:
        return "gone"
    if failing_since_ms is not None and now_ms - failing_since_ms >= DISABLED_AFTER // timedelta(milliseconds=1):
        return "failing"
    return None
