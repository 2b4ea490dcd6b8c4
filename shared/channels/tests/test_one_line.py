"""What a text of one line may not hold."""

import sys
import unicodedata

from imsg_channels.one_line import has_control


def test_a_control_character_is_decided_by_its_unicode_category() -> None:
    """Of all there are, alone and beside others."""
    for code in range(sys.maxunicode + 1):
        letter = chr(code)
        is_control = unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
        assert has_control(f"您{letter}好") is is_control, hex(code)
