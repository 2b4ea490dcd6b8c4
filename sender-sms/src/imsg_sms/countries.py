"""Which countries' numbers an account takes, by their calling codes."""

import re
from typing import Annotated

from pydantic import AfterValidator

from imsg_runtime.settings import Strings

MAINLAND = "+86"

ANYWHERE = "+"
"""What every number in E.164 begins with."""

_CODE = re.compile(r"\+?[1-9][0-9]{0,14}")


def read_codes(written: tuple[str, ...]) -> tuple[str, ...]:
    """Read `+86`, `852` as what numbers in E.164 begin with. Raises ValueError."""
    for code in written:
        if not _CODE.fullmatch(code):
            raise ValueError(f"holds {code}, which begins no number; write +86, +852")
    return tuple(f"+{code.removeprefix('+')}" for code in written)


def _read_countries(written: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in written:
        return (ANYWHERE,)
    if not written:
        raise ValueError("names no country; write +86, +852, or * for every one")
    return read_codes(written)


Countries = Annotated[Strings, AfterValidator(_read_countries)]
"""Calling codes such as `+86, +852`; `*`: every country."""


def show(countries: tuple[str, ...]) -> str:
    """Write countries as settings have them."""
    return "every country" if ANYWHERE in countries else ", ".join(countries)
