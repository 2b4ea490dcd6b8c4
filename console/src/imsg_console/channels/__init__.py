"""What the page of channels is made of: each channel's card, a test send, dead letters."""
