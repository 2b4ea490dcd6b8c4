"""The log-in: who one is."""
