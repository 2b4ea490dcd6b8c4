"""A text that must be one line: what it may not hold, as a check and as a pattern."""

import re

ONE_LINE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]"
"""Neither a line break of any script nor a control character."""


_CONTROL = re.compile("[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]")
"""What Unicode counts to the categories Cc, Cs, Zl and Zp: one search a text, not a look-up a letter."""


def has_control(text: str) -> bool:
    """Tell whether a text that must be one line has a control character, line breaks of any script included."""
    if text.isascii():
        return not text.isprintable()
    return _CONTROL.search(text) is not None
