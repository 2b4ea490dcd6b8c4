"""Groups of people: their list, their members, and files of people."""
