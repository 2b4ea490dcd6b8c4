"""The imsg command."""
