"""The overview: what happened, and what needs attention."""
