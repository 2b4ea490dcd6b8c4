"""What of a chunk is claimed and what is settled."""
