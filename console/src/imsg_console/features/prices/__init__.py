"""What providers ask for a message or a segment."""
