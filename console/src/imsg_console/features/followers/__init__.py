"""Followers of the official accounts: their tags, and the users with them as contacts."""
