"""What pages are made of: small functions that draw one thing each, inside whatever element is open."""
