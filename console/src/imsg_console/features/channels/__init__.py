"""Channels: status, pausing, dead letters, a test message."""
