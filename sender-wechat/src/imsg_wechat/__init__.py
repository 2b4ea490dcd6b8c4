"""The WeChat channel, followers and tags."""
