"""The pager channel: the example of docs/new-channel.md, run by a test and not shipped."""
