"""The country of a phone number."""

import phonenumbers

MAX_CALLING_CODE = 3
"""Digits of the longest calling code."""

COUNTRIES = tuple(sorted(phonenumbers.SUPPORTED_REGIONS))
"""The ISO 3166 codes of countries that have phone numbers."""


def find_country(number: str) -> str | None:
    """Return the ISO 3166 code of an E.164 number's country, such as `CN` or `HK`; None for other addresses.

    Several countries share some calling codes (+1, +7, +44); the digits that follow then decide.
    """
    if not number.startswith("+") or not number[1:].isdecimal():
        return None
    for length in range(1, MAX_CALLING_CODE + 1):
        code = number[1 : length + 1]
        countries = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code))
        if countries is None:
            continue
        if len(countries) == 1:
            return None if countries[0] == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY else countries[0]
        try:
            country: str | None = phonenumbers.region_code_for_number(phonenumbers.parse(number))
        except phonenumbers.NumberParseException:
            return None
        # Of a number that the tables do not know yet: the first country, to which most of the code's numbers belong.
        return country or countries[0]
    return None


def is_country(code: str) -> bool:
    """Return whether a text is the ISO 3166 code of a country that has phone numbers."""
    return code in phonenumbers.SUPPORTED_REGIONS
