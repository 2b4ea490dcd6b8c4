"""Texts of people: an address is cut before its @ alone."""

import pytest

from imsg_console.sanitize import split_address


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("zhang-san@mail.example.com", ["zhang-san", "@mail.example.com"]),
        ("iMSG 通知 <a@b.cn>", ["iMSG 通知 ", "<a", "@b.cn>"]),
        ("+8613800138000", ["+8613800138000"]),
        ("7K3-M9Q-2XF", []),
        ("三季度报表 <草稿>", []),
        ("a@b.cn 和 c@d.cn", []),
        ("", []),
    ],
)
def test_an_address_is_cut_before_its_at_alone(text: str, parts: list[str]) -> None:
    assert split_address(text) == parts
    assert not parts or "".join(parts) == text
