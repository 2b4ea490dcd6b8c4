"""Phone numbers as Aliyun writes them, and back: mainland China's 11 digits, elsewhere country code and number."""

import re

_MAINLAND = re.compile(r"(?:\+|00)?(?:86)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")

CHINA = "+86"


def format_number(number: str) -> str:
    """Write an E.164 number for the provider."""
    if number.startswith(CHINA):
        return number.removeprefix(CHINA)
    digits = number.removeprefix("+")
    # A North American number may look like a mobile number of the mainland.
    return f"00{digits}" if _MAINLAND.fullmatch(digits) else digits


def read(text: str) -> str | None:
    """Read a number that the provider wrote into E.164; None where it is none."""
    text = text.strip()
    if text.startswith(("+1", "001")):
        return f"+{text.removeprefix('+').removeprefix('00')}" if _ABROAD.fullmatch(text) else None
    if found := _MAINLAND.fullmatch(text):
        return f"{CHINA}{found[1]}"
    if found := _ABROAD.fullmatch(text):
        return f"+{found[1]}"
    return None
