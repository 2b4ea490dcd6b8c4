"""Providers: set up, checked, tried, changed and restored by administrators."""
