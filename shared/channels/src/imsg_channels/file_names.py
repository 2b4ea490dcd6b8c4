"""Names of uploaded files without invisible characters."""

import unicodedata

_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Invisible characters that Unicode counts as letters and marks."""


def drop_unseen(name: str) -> str:
    """Drop what takes no room in a name or turns it around: with U+202E in it `fdp.exe` is read as `exe.pdf`.

    That is Unicode's category Cf: marks of direction, zero widths, soft hyphens, tags.
    """
    if name.isascii():
        return name
    return "".join(sign for sign in name if unicodedata.category(sign) != "Cf" and sign not in _FILLERS)
