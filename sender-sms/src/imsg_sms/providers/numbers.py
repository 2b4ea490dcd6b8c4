"""Converts phone numbers between E.164 and the providers' forms (mainland China: 11 digits; elsewhere without +)."""

import re

from imsg_sms.countries import ANYWHERE, MAINLAND

_MAINLAND = re.compile(r"(?:\+|00)?(?:86)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")


def format_number(number: str) -> str:
    """Write an E.164 number in the providers' form."""
    if number.startswith(MAINLAND):
        return number.removeprefix(MAINLAND)
    digits = number.removeprefix("+")
    # Without 00, some North American numbers look like mobile numbers of the mainland.
    return f"00{digits}" if _MAINLAND.fullmatch(digits) else digits


def read(text: str, countries: tuple[str, ...] = (ANYWHERE,)) -> str | None:
    """Parse a provider's number as E.164; None if it is none.

    `countries` are the account's prefixes: without mainland China, 13865551234 is a number of North America.
    """
    text = text.strip()
    if text.startswith(("+1", "001")):
        return f"+{text.removeprefix('+').removeprefix('00')}" if _ABROAD.fullmatch(text) else None
    is_mainland = any(prefix.startswith(MAINLAND) or MAINLAND.startswith(prefix) for prefix in countries)
    if is_mainland and (match := _MAINLAND.fullmatch(text)):
        return f"{MAINLAND}{match[1]}"
    if match := _ABROAD.fullmatch(text):
        return f"+{match[1]}"
    return None
