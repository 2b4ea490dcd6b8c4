"""Approved SMS templates, phone numbers, and the magic numbers of a provider."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imsg_contract.magic_recipients import NUMBERS, NumberTrouble

NORMAL = NumberTrouble("")

UNFILED = "未报备"
"""A signature that holds this word is approved, and not filed with the carriers."""

_VARIABLE = re.compile(r"\$\{([^{}]+)\}")
_LINK = re.compile(r"(?i)https?://|www\.")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_MAINLAND = re.compile(r"1[3-9][0-9]{9}")


@dataclass(frozen=True, slots=True)
class ApprovedTemplate:
    """A template's text with `${name}`, and its variables in the provider's order."""

    text: str
    variables: Sequence[str]
    longest: int | None = None
    """The most characters of a variable."""
    is_captcha: bool = False

    def fill(self, values: Sequence[str]) -> str:
        """Return the text with the values of its variables."""
        by_name = dict(zip(self.variables, values, strict=True))
        return _VARIABLE.sub(lambda variable: by_name[variable[1]], self.text)

    def is_too_long(self, value: str) -> bool:
        """Return whether a value is too long for a variable."""
        return self.longest is not None and len(value) > self.longest


def make_template(text: str, longest: int | None = None, *, is_captcha: bool = False) -> ApprovedTemplate:
    """Return a template with its variables in the order of the text."""
    return ApprovedTemplate(text, find_variables(text), longest, is_captcha)


def find_variables(text: str) -> tuple[str, ...]:
    """Return the names of a template's variables, each once."""
    return tuple(dict.fromkeys(_VARIABLE.findall(text)))


def has_link(value: str) -> bool:
    """Return whether a value contains a link."""
    return _LINK.search(value) is not None


def read_number(text: str) -> str | None:
    """Return a number in E.164, given `+…`, `86…`, `0086…` or 11 digits of mainland China; None if it is invalid."""
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
    """Return a number as the inbox shows it: 11 digits of mainland China, else country code and number."""
    return number.removeprefix("+86") if number.startswith("+86") else number.removeprefix("+")


@dataclass(slots=True)
class MagicNumbers:
    """The magic numbers of a provider, and which of them were refused once."""

    codes: Mapping[str, str]
    """Aliyun's code in the table of magic numbers → this provider's."""
    _tried: set[str] = field(default_factory=set)

    def find(self, number: str) -> NumberTrouble:
        """Return what happens to this number."""
        return NUMBERS.get(show_number(number), NORMAL)

    def refuse(self, number: str) -> str | None:
        """Return the code that the provider refuses this number with now; None if it accepts it."""
        trouble = self.find(number)
        if trouble.code is None:
            return None
        if trouble.once and number in self._tried:
            self._tried.discard(number)
            return None
        if trouble.once:
            self._tried.add(number)
        return self.codes[trouble.code]
