"""The status of the system: what runs, and what is wrong."""
