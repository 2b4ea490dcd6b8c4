"""A circuit breaker: after repeated failures leave a provider alone for a while, then try it once."""
