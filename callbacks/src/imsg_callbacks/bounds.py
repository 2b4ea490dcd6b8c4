"""The limits of a page of deliveries, and of a request for events."""

DEFAULT_LIMIT = 50
"""Deliveries of a page whose client names no limit."""

MAX_EVENTS = 500
MAX_WAIT_S = 60
"""How long GET /api/events may wait for an event."""
