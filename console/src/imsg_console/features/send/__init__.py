"""Sending: whom, what, the last look, the progress."""
