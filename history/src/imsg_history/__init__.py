"""The status of every message."""
