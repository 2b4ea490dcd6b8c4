"""The templates of messages."""
