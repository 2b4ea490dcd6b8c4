"""The firms that carry SMS, one module each; a new one is one file here and one line in the table."""
