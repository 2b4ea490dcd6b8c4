"""The retry schedule of deliveries (Standard Webhooks, 76 hours in all), and when an endpoint is disabled."""

from dataclasses import dataclass
from datetime import timedelta

STEPS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The delay after each failure (standard-webhooks.md, "Retry schedule and deliverability"): ten attempts in all."""

JITTER = 0.1
"""The share of a delay that is added at random, so that calls that failed together are not retried together."""

DISABLED_AFTER = timedelta(days=5)
"""An endpoint whose calls have all failed for this long is disabled."""

DISABLED_WHY = ("gone", "failing")
"""Why an endpoint is disabled but by its owner."""

GONE = 410
"""The status by which an endpoint unsubscribes (standard-webhooks.md, "Webhook consumers")."""

SUCCESS = range(200, 300)

READER_EXPIRES_AFTER = timedelta(days=7)
"""Events of a user without endpoints are no longer recorded this long after their last read."""


@dataclass(frozen=True, slots=True)
class EndpointReply:
    """The result of a call: an HTTP status, or an error without one."""

    status: int | None
    error: str | None = None
    body: str | None = None
    """The first 4 KiB of the response."""
    retry_after_s: float | None = None
    took_ms: int = 0

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx. A redirect is a failure: it is not followed."""
        return self.status is not None and self.status in SUCCESS

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint has unsubscribed (410)."""
        return self.status == GONE


def next_in_s(failures: int, draw: float, retry_after_s: float | None = None) -> float | None:
    """Return the delay in seconds before a delivery with so many failures is retried; None after the last attempt.

    `draw` is a random number in [0, 1). A Retry-After of the endpoint counts up to twice the step.
    """
    if failures > len(STEPS_S):
        return None
    step_s = STEPS_S[failures - 1]
    wait_s = step_s * (1 + JITTER * draw)
    return wait_s if retry_after_s is None else min(max(wait_s, retry_after_s), 2.0 * step_s)


def must_disable(reply: EndpointReply, failing_since_ms: int | None, now_ms: int) -> str | None:
    """Return why an endpoint must be disabled after a failure (`gone`, `failing`); None if it must not."""
    if reply.is_gone:
        return "gone"
    if failing_since_ms is not None and now_ms - failing_since_ms >= DISABLED_AFTER // timedelta(milliseconds=1):
        return "failing"
    return None
