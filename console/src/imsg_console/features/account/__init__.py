"""One's own account: limits and password."""
