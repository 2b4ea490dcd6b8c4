"""A bounce token names its message, and cannot be made without the key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from imsg_smtp.bounces.bounce_token import derive_keys, make_token, read_signed_name, read_token, sign_name

KEY, OTHER = derive_keys([SecretStr("a" * 32), SecretStr("b" * 32)])

REQUESTS = st.binary(min_size=16, max_size=16).map(bytes.hex)
NUMBERS = st.integers(min_value=0, max_value=2**32 - 1)


@given(request=REQUESTS, n=NUMBERS, data=st.data())
def test_what_is_made_is_read_again_in_any_case_and_fits_a_local_part(
    request: str, n: int, data: st.DataObject
) -> None:
    token = make_token(KEY, request, n)
    changed = "".join(character.upper() if data.draw(st.booleans()) else character for character in token)

    assert read_token(KEY, changed) == (request, n)
    assert len(token) <= 64
    assert token == token.lower()


@given(request=REQUESTS, n=NUMBERS, at=st.integers(min_value=2, max_value=45), letter=st.sampled_from("abcxyz234567"))
def test_a_token_with_another_letter_is_none(request: str, n: int, at: int, letter: str) -> None:
    token = make_token(KEY, request, n)
    changed = token[:at] + letter + token[at + 1 :]

    assert changed == token or read_token([KEY], changed) is None


@given(text=st.text(max_size=80))
def test_any_other_local_part_is_none(text: str) -> None:
    assert read_token([KEY], text) is None
    assert read_token([KEY], "b+" + text) is None


def test_a_token_of_the_key_before_is_read_after_a_rotation() -> None:
    token = make_token(OTHER, "0" * 32, 7)

    assert read_token([KEY, OTHER], token) == ("0" * 32, 7)
    assert read_token([KEY], token) is None


@given(request=REQUESTS, n=NUMBERS, other=NUMBERS)
def test_a_signed_name_is_read_by_every_key_that_is_known_and_names_no_other_message(
    request: str, n: int, other: int
) -> None:
    name = sign_name(OTHER, request, n)
    stem, _, mac = name.partition(".")

    assert stem == f"{request}-{n}"
    assert read_signed_name([KEY, OTHER], name.upper()) == (request, n)
    assert read_signed_name([KEY], name) is None
    assert other == n or read_signed_name([OTHER], f"{request}-{other}.{mac}") is None


@pytest.mark.parametrize(
    "name", ["", f"{'0' * 32}-1", f"{'0' * 32}-1.", f"{'0' * 32}-9999999999.{'a' * 13}", f"{'0' * 32}-01.{'a' * 13}"]
)
def test_what_is_no_signed_name_is_none(name: str) -> None:
    assert read_signed_name([KEY], name) is None


@pytest.mark.parametrize("text", ["", "b+", "b", "b+é" + "a" * 44, "B+" + "1" * 45, "bounce+" + "a" * 45])
def test_what_has_not_the_shape_is_none(text: str) -> None:
    assert read_token([KEY], text) is None
