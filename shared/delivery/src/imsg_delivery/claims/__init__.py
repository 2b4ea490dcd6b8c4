"""What of a part is claimed and what is settled."""
