"""The floors: the least code that could do the same work, on the same libraries and servers."""
