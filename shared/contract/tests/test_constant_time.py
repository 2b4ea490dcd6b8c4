"""Comparisons with what strangers give."""

import pytest

from imsg_contract.constant_time import equals


@pytest.mark.parametrize("given", ["a", "é", "签名", "\ud800", "\0", "", "secret ", b"\xff", "ｓecret"])
def test_any_text_can_be_compared_and_only_the_same_is_equal(given: str | bytes) -> None:
    assert not equals(given, "secret")
    assert equals(given, given)


def test_text_and_its_octets_are_the_same() -> None:
    assert equals("密钥", "密钥".encode())
