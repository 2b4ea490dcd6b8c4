"""A text that must be one line: what it may not hold, as a check and as a pattern."""

import unicodedata

ONE_LINE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]"
"""Neither a line break of any script nor a control character."""


def has_control(text: str) -> bool:
    """Tell whether a text that must be one line has a control character, line breaks of any script included."""
    if text.isascii():
        return not text.isprintable()
    return any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text)
