"""The audit: the changes and the users that made them."""
