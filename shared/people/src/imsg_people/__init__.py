"""Erasures and suppressions of addresses, which senders look up before each message."""
