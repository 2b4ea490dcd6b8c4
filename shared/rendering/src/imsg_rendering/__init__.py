"""Renders users' templates: the same code for a preview, a check and a send."""
