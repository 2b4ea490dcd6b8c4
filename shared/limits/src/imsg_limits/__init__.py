"""Every limit: quotas, pace, retry-after, breakers, admission and backpressure."""
