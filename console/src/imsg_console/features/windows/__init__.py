"""The hours in which messages are sent, the holidays, and what waits for them."""
