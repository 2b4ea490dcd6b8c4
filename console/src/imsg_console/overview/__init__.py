"""The overview: what happened, what needs attention, where a newcomer begins."""
