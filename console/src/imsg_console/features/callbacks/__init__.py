"""Callbacks: URLs of a user that are called about events, and the deliveries to each."""
