"""Segments of an SMS, as the gateway counts them."""

import pytest

from imsg_console.features.send.segments import Length, measure

ABROAD, MAINLAND = ["+14155550100"], ["+8613800138000"]


@pytest.mark.parametrize(
    ("text", "numbers", "expected"),
    [
        ("", MAINLAND, Length(0, 1, 70, "UCS-2")),
        ("您" * 70, MAINLAND, Length(70, 1, 0, "UCS-2")),
        ("您" * 71, MAINLAND, Length(71, 2, 63, "UCS-2")),
        ("a" * 71, MAINLAND, Length(71, 2, 63, "UCS-2")),
        ("a" * 160, ABROAD, Length(160, 1, 0, "GSM-7")),
        ("a" * 159 + "€", ABROAD, Length(161, 2, 145, "GSM-7")),
        ("您", ABROAD, Length(1, 1, 69, "UCS-2")),
        ("😀" * 35, ABROAD, Length(70, 1, 0, "UCS-2")),
        ("a" * 71, [*ABROAD, *MAINLAND], Length(71, 2, 63, "UCS-2")),
        ("a" * 71, [], Length(71, 2, 63, "UCS-2")),
    ],
)
def test_every_alphabet_has_its_lengths(text: str, numbers: list[str], expected: Length) -> None:
    assert measure(text, numbers) == expected
