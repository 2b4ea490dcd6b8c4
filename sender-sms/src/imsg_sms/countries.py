"""The country codes of the numbers that an account accepts."""

import re
from typing import Annotated

from pydantic import AfterValidator

from imsg_runtime.settings import Strings

MAINLAND = "+86"

ANYWHERE = "+"
"""The prefix of every number in E.164."""

_CODE = re.compile(r"\+?[1-9][0-9]{0,14}")


def read_codes(codes: tuple[str, ...]) -> tuple[str, ...]:
    """Return codes such as `+86` or `852` as prefixes of E.164 numbers. Raises ValueError."""
    for code in codes:
        if not _CODE.fullmatch(code):
            raise ValueError(f"holds {code}, which begins no number; write +86, +852")
    return tuple(f"+{code.removeprefix('+')}" for code in codes)


def _read_countries(codes: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in codes:
        return (ANYWHERE,)
    if not codes:
        raise ValueError("names no country; write +86, +852, or * for every one")
    return read_codes(codes)


Countries = Annotated[Strings, AfterValidator(_read_countries)]
"""Calling codes such as `+86, +852`; `*`: every country."""


def format_countries(countries: tuple[str, ...]) -> str:
    """Write prefixes as country codes, for people."""
    return "every country" if ANYWHERE in countries else ", ".join(countries)
