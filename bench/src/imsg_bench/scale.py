"""How much is measured: quickly, to see where one stands, or in full."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Rounds, their length, and the sizes of what is sent."""

    name: str
    rounds: int
    turn_s: float
    """How long one side of a round is loaded."""
    warm_s: float
    mails: int
    """Single mails in a filled queue."""
    people: int
    """Recipients of a long list."""
    texts: int
    """Single SMS in a filled queue."""
    waiting: int
    """Bulk messages that wait while single ones are sent."""
    probes: int
    """Messages sent one by one, each timed."""
    events: int
    """Jobs and outcomes in history's filled queue."""
    rows: int
    """Messages in history while it is queried."""
    queries: int
    """Queries of each kind."""
    large: int
    """Recipients of a mail with a large attachment."""
    far: int
    """Single mails to a mail server that is far away."""
    alone: int
    """Messages on an idle system, for each side and round."""
    outage: int
    """Recipients that wait while the mail server is away."""
    settled: int
    """Messages that are settled before what they leave is counted."""


QUICK = Scale("quick", 2, 1.0, 0.5, 1_000, 10_000, 1_000, 20_000, 40, 10_000, 100_000, 30, 50, 400, 60, 10_000, 3_000)
FULL = Scale(
    "full", 5, 4.0, 1.0, 3_000, 10_000, 3_000, 100_000, 100, 30_000, 1_000_000, 60, 500, 1_000, 120, 200_000, 10_000
)
HISTORY = Scale(
    "history", 3, 4.0, 1.0, 3_000, 10_000, 3_000, 100_000, 100, 60_000, 5_000_000, 100, 500, 1_000, 120, 200_000, 10_000
)
