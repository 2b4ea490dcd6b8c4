"""Approved templates, numbers and magic recipients, for the SMS providers that are not Aliyun."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imsg_sandbox.magic import NUMBERS, NumberTrouble

NORMAL = NumberTrouble("")

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")
_LINK = re.compile(r"(?i)https?://|www\.")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_MAINLAND = re.compile(r"1[3-9][0-9]{9}")


@dataclass(frozen=True, slots=True)
class Form:
    """An approved template: its words around `${name}`, and its variables in their order."""

    text: str
    variables: Sequence[str]
    longest: int | None = None
    """Characters that a variable takes."""

    def fill(self, values: Sequence[str]) -> str:
        """Put values in their places."""
        given = dict(zip(self.variables, values, strict=True))
        return _VARIABLE.sub(lambda variable: given[variable[1]], self.text)

    def is_too_long(self, values: Sequence[str]) -> bool:
        """Tell whether a value is longer than its variable."""
        return self.longest is not None and any(len(value) > self.longest for value in values)


def variables(text: str) -> tuple[str, ...]:
    """Name a template's variables as they stand in it."""
    return tuple(dict.fromkeys(_VARIABLE.findall(text)))


def has_link(values: Sequence[str]) -> bool:
    """Tell whether a value holds a link."""
    return any(_LINK.search(value) for value in values)


def read_number(text: str) -> str | None:
    """Read a number into E.164: `+…`, `86…`, `0086…` or 11 digits of mainland China; None where it is none."""
    if text.startswith("+"):
        number = text
    elif text.startswith("0086"):
        number = f"+{text[2:]}"
    elif _MAINLAND.fullmatch(text):
        number = f"+86{text}"
    else:
        number = f"+{text.removeprefix('00')}"
    if not _E164.fullmatch(number):
        return None
    return None if number.startswith("+86") and not _MAINLAND.fullmatch(number[3:]) else number


def show_number(number: str) -> str:
    """Write a number as the inbox shows it: mainland China's 11 digits, else country code and number."""
    return number.removeprefix("+86") if number.startswith("+86") else number.removeprefix("+")


@dataclass(slots=True)
class Troubles:
    """The magic numbers, and who has tried already."""

    codes: Mapping[str, str]
    """Aliyun's code in the table of magic numbers → this provider's."""
    _tried: set[str] = field(default_factory=set)

    def of(self, number: str) -> NumberTrouble:
        """Say what happens to this number."""
        return NUMBERS.get(show_number(number), NORMAL)

    def refuses(self, number: str) -> str | None:
        """Return the code that this number is refused with now; None where it is taken."""
        trouble = self.of(number)
        if trouble.code is None:
            return None
        if trouble.once and number in self._tried:
            self._tried.discard(number)
            return None
        if trouble.once:
            self._tried.add(number)
        return self.codes[trouble.code]
