"""What happened, and what needs attention."""

from imsg_console.texts import Table

TEXTS: Table = {}
