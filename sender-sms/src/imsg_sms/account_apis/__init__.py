"""What each SMS provider can be asked about an account: signatures, templates, and what is left to send."""
