"""Texts that must be one line: a check and a pattern."""

import re

ONE_LINE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]"
"""The pattern of a text without line breaks of any script and control characters."""


_CONTROL = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]")
"""The Unicode categories Cc, Cs, Zl and Zp: one search for a text is faster than a look-up for each letter."""


def has_control(text: str) -> bool:
    """Return whether a text has a control character or a line break of any script."""
    if text.isascii():
        return not text.isprintable()
    return _CONTROL.search(text) is not None
