"""The routes of v2, a module for each resource."""
