"""Phone numbers as Aliyun writes them, and back: mainland China's 11 digits, elsewhere country code and number."""

import re

from imsg_sms.countries import ANYWHERE, MAINLAND

_MAINLAND = re.compile(r"(?:\+|00)?(?:86)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")


def format_number(number: str) -> str:
    """Write an E.164 number for the provider."""
    if number.startswith(MAINLAND):
        return number.removeprefix(MAINLAND)
    digits = number.removeprefix("+")
    # A North American number may look like a mobile number of the mainland.
    return f"00{digits}" if _MAINLAND.fullmatch(digits) else digits


def read(text: str, countries: tuple[str, ...] = (ANYWHERE,)) -> str | None:
    """Read a number that the provider wrote into E.164; None where it is none.

    Where `countries` leave out mainland China, 13865551234 is American.
    """
    text = text.strip()
    if text.startswith(("+1", "001")):
        return f"+{text.removeprefix('+').removeprefix('00')}" if _ABROAD.fullmatch(text) else None
    is_mainland = any(one.startswith(MAINLAND) or MAINLAND.startswith(one) for one in countries)
    if is_mainland and (found := _MAINLAND.fullmatch(text)):
        return f"{MAINLAND}{found[1]}"
    if found := _ABROAD.fullmatch(text):
        return f"+{found[1]}"
    return None
