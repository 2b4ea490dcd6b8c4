"""Users, passwords, tokens and limits."""
