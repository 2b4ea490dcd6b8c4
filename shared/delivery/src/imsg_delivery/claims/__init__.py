"""The claims: which recipients of a chunk are claimed by a worker, and which are settled."""
