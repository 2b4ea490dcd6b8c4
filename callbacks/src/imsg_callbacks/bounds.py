"""The limits of one page of deliveries or events."""

DEFAULT_LIMIT = 50
"""Deliveries of a page."""

MAX_EVENTS = 500
MAX_WAIT_S = 60
"""How long GET /api/events may wait for an event."""
