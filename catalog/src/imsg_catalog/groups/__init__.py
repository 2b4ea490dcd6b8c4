"""Groups: people with fields of their own, addressed in a send by the group's name."""
