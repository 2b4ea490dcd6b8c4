"""Users: the list, the form, several at once, and spreadsheets in and out."""
