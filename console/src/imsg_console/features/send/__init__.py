"""Sending: the recipients, the content, the confirmation and the progress."""
