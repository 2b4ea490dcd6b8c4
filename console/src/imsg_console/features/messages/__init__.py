"""Messages: the listing, one message, one's own."""
