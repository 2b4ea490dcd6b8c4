"""Numbers as Aliyun writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_sms.providers import numbers


@pytest.mark.parametrize(
    ("number", "written"),
    [
        ("+8613800138000", "13800138000"),
        ("+85261234567", "85261234567"),
        ("+12025550123", "12025550123"),
        ("+13012345678", "0013012345678"),
    ],
)
def test_a_number_is_written_and_read_again(number: str, written: str) -> None:
    assert numbers.format_number(number) == written
    assert numbers.read(written) == number


@pytest.mark.parametrize("text", ["13800138000", "8613800138000", "+8613800138000", "008613800138000", " 13800138000"])
def test_every_spelling_of_a_mainland_number_is_one(text: str) -> None:
    assert numbers.read(text) == "+8613800138000"


@pytest.mark.parametrize("text", ["", "abc", "0138", "１３８００１３８０００", "1" * 20])
def test_what_is_no_number_is_none(text: str) -> None:
    assert numbers.read(text) is None


@given(st.text() | st.text("0123456789+ ", max_size=20))
def test_any_number_of_the_provider_is_read_or_is_none(text: str) -> None:
    number = numbers.read(text)
    assert number is None or (number[0] == "+" and number[1:].isascii() and number[1:].isdigit())


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True).filter(lambda number: not number.startswith("+86")))
def test_any_number_abroad_is_written_and_read_again(number: str) -> None:
    assert numbers.read(numbers.format_number(number)) == number
