"""Names of files that people hand in, without what nobody sees of them."""

import unicodedata

_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""What Unicode counts to letters and marks, and nobody sees either."""


def drop_unseen(name: str) -> str:
    """Drop what takes no room in a name or turns it around: with U+202E in it `fdp.exe` is read as `exe.pdf`.

    That is Unicode's category Cf: marks of direction, zero widths, soft hyphens, tags.
    """
    if name.isascii():
        return name
    return "".join(sign for sign in name if unicodedata.category(sign) != "Cf" and sign not in _FILLERS)
