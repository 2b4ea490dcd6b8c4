"""How much is measured: quickly, for an overview, or in full."""

from dataclasses import dataclass, replace


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
    texts: int
    """Single SMS in a filled queue."""
    count_ready: int
    """Bulk messages that wait while codes are sent."""
    codes: int
    """Codes of each half of a round, each timed."""
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
    settled: int
    """Messages that are settled before what they leave is counted."""
    due: int
    """Scheduled messages that are due at one moment."""
    pauses: float = 1.0
    """The share of their length that pauses last."""


QUICK = Scale(
    name="quick",
    rounds=2,
    turn_s=1.0,
    warm_s=0.5,
    mails=1_000,
    texts=1_000,
    count_ready=20_000,
    codes=500,
    events=10_000,
    rows=100_000,
    queries=30,
    large=50,
    far=400,
    alone=60,
    settled=3_000,
    due=20_000,
)
FULL = Scale(
    name="full",
    rounds=5,
    turn_s=4.0,
    warm_s=1.0,
    mails=3_000,
    texts=3_000,
    count_ready=100_000,
    codes=2_000,
    events=30_000,
    rows=1_000_000,
    queries=60,
    large=500,
    far=800,
    alone=100,
    settled=10_000,
    due=100_000,
)
HISTORY = replace(FULL, name="history", rounds=3, events=60_000, rows=5_000_000, queries=100)
TRIAL = Scale(
    name="trial",
    rounds=1,
    turn_s=1.0,
    warm_s=0.2,
    mails=500,
    texts=100,
    count_ready=10_000,
    codes=20,
    events=600,
    rows=2_000,
    queries=1,
    large=2,
    far=32,
    alone=2,
    settled=30,
    due=50,
    pauses=0.05,
)
"""As small as can be: it shows that a measurement still works, and its figures are worth nothing."""
