"""The steps by which the tables came to be what they are; run at every start."""

VERSIONS = "history_version"
"""The table that holds which step was the last."""

HEAD = "0001"
"""The last step there is; a test holds it to the files."""
