"""The catalog: to whom nothing may be sent any more."""
