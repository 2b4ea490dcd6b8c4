"""Names of uploaded files without invisible characters."""

import unicodedata

_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Invisible characters that Unicode counts as letters and marks."""


def drop_invisible(name: str) -> str:
    """Drop invisible characters (category Cf) and fillers: with U+202E `fdp.exe` shows as `exe.pdf`."""
    if name.isascii():
        return name
    return "".join(sign for sign in name if unicodedata.category(sign) != "Cf" and sign not in _FILLERS)
