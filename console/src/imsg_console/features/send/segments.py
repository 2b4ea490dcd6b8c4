"""Counts the segments of an SMS while it is typed, as the gateway counts them."""

from dataclasses import dataclass

GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("^{}\\[~]|€\f")
"""3GPP TS 23.038, section 6.2.1: the basic alphabet, and what counts two."""

MAINLAND = "+86"


@dataclass(frozen=True, slots=True)
class Length:
    """The length of an SMS."""

    letters: int
    """As the alphabet counts them."""
    segments: int
    room: int
    """Letters left in the last segment."""
    alphabet: str
    """`GSM-7` or `UCS-2`."""


def measure(text: str, numbers: list[str]) -> Length:
    """Measure a text with its signature, to these numbers (E.164): mainland China counts every letter as Chinese."""
    abroad = bool(numbers) and all(not number.startswith(MAINLAND) for number in numbers)
    if abroad and all(letter in GSM7 or letter in EXTENDED for letter in text):
        return _make_length(len(text) + sum(letter in EXTENDED for letter in text), 160, 153, "GSM-7")
    return _make_length(len(text.encode("utf-16-le", "surrogatepass")) // 2, 70, 67, "UCS-2")


def _make_length(letters: int, single: int, part: int, alphabet: str) -> Length:
    segments = 1 if letters <= single else -(-letters // part)
    return Length(letters, segments, (single if segments == 1 else segments * part) - letters, alphabet)
