"""How many segments one SMS is: what it costs, by the rules of where it goes."""

_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENDED = frozenset("^{}\\[~]|€\f")
"""3GPP TS 23.038, section 6.2.1: the basic alphabet, and what is written with an escape and counts two."""

_ONE_GSM7, _PART_GSM7 = 160, 153
_ONE_UCS2, _PART_UCS2 = 70, 67
"""Characters of a single SMS, and of a part of a long one, whose header takes the rest (TS 23.040, 9.2.3.24)."""

MAINLAND = "+86"


def segments(text: str, numbers: list[str]) -> int:
    """Count the segments of one message, its signature included; of the dearest where the numbers differ.

    Mainland China counts characters whatever the alphabet; elsewhere GSM-7 text is cheaper than the rest.
    """
    abroad = all(not number.startswith(MAINLAND) for number in numbers)
    if abroad and all(letter in _GSM7 or letter in _GSM7_EXTENDED for letter in text):
        return _parts(len(text) + sum(letter in _GSM7_EXTENDED for letter in text), _ONE_GSM7, _PART_GSM7)
    return _parts(len(text.encode("utf-16-le")) // 2, _ONE_UCS2, _PART_UCS2)


def _parts(length: int, one: int, part: int) -> int:
    return 1 if length <= one else -(-length // part)
