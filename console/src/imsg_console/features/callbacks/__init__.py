"""URLs of one's own that are called when something happens to a message, and what each was told."""
