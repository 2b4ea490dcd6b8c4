"""Users: the list, one user, several, import and export."""
