"""Users: who may send, how much, and what of it is used."""

from imsg_console.texts import Table

TEXTS: Table = {}
