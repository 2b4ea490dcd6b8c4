"""Sends events about messages to their senders' endpoints, and lists them."""
