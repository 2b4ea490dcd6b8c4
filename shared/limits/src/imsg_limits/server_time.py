"""The clock of Redis in scripts: the clocks of processes may differ."""

SERVER_TIME = "(function() local at = redis.call('TIME') return at[1] + at[2] / 1000000 end)()"
"""The server's clock as a Lua expression in Unix seconds."""
