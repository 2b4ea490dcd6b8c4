"""Groups: people with fields of their own, to whom a send may go by the group's name."""
