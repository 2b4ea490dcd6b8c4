"""Counted windows in one atomic step by Redis' clock."""
