"""Usage: how much was sent in a month, by user, channel and other groups."""
