"""The segments of an SMS, by the rules of the recipient's country."""

from collections.abc import Sequence

from imsg_channels.spec import Segments

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENDED = frozenset("^{}\\[~]|€\f")
"""3GPP TS 23.038, section 6.2.1: the basic alphabet, and the characters with an escape, which count as two."""

_ONE_GSM7, _PART_GSM7 = 160, 153
_ONE_UCS2, _PART_UCS2 = 70, 67
"""The characters of a single SMS, and of a segment of a long one, which has a header (TS 23.040, 9.2.3.24)."""

MAINLAND = "+86"


def count(text: str, numbers: Sequence[str]) -> Segments:
    """Count the segments of a message, its signature included, to each of these numbers.

    Mainland China counts characters whatever the alphabet; elsewhere GSM-7 text is cheaper than the rest.
    """
    at_home, abroad = _count_parts(text)
    mainland = sum(number.startswith(MAINLAND) for number in numbers)
    return Segments(at_home if mainland else abroad, at_home * mainland + abroad * (len(numbers) - mainland))


def _count_parts(text: str) -> tuple[int, int]:
    """Count one message's segments to a number of mainland China, and to another."""
    at_home = _divide(len(text.encode("utf-16-le")) // 2, _ONE_UCS2, _PART_UCS2)
    if all(letter in _GSM7 or letter in _GSM7_EXTENDED for letter in text):
        return at_home, _divide(len(text) + sum(letter in _GSM7_EXTENDED for letter in text), _ONE_GSM7, _PART_GSM7)
    return at_home, at_home


def _divide(length: int, single: int, part: int) -> int:
    return 1 if length <= single else -(-length // part)
