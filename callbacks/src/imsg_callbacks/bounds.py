"""How much may be asked for at once."""

DEFAULT_LIMIT, MOST = 50, 500
"""Deliveries of a page."""

MOST_EVENTS = 500
LONGEST_WAIT_S = 60
"""How long a reader of events may have its answer wait for one."""
