"""Usage: how much was sent in a month, by whom and by what."""
