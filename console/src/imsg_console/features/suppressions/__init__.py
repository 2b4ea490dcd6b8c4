"""To whom nothing may be sent any more."""
