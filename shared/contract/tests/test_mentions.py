"""Addresses are found in texts, whatever surrounds them."""

import time

import pytest

from imsg_contract.mentions import find_mentions

MAIL = "li.na@example.com"
PHONE = "+8613912345678"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("li.na@example.com", MAIL),
        ("550 5.1.1 <li.na@EXAMPLE.com>: no such user", MAIL),
        ("order-for-li.na@example.com", MAIL),
        ("给li.na@example.com的订单", MAIL),
        ("li.na@example.com-2026-11", MAIL),
        ('{"to":"li.na@example.com"}', MAIL),
        ("to=li.na@example.com.", MAIL),
        ("写给 li@例子.cn", "li@xn--fsqu00a.cn"),
        ("13912345678", PHONE),
        ("8613912345678 is off", PHONE),
        ("+8613912345678,", PHONE),
        ("008613912345678", PHONE),
        ("139 1234 5678", PHONE),
        ("139-1234-5678", PHONE),
        ("139.1234.5678", PHONE),
        ("139 12345678", PHONE),
        ("139\u00a01234\u00a05678", PHONE),
        ("１３９１２３４５６７８", PHONE),
        ("+86139 1234 5678", PHONE),
        ("1 139 1234 5678 138", PHONE),
        ("+852 9123 4567 20", "+85291234567"),
        ("+1 (386) 555-1234", "+13865551234"),
        ("https://例子.cn/?to=Li.na%40Example.com&n=1", "Li.na@example.com"),
        ("?next=%2Fa%3Fto%3Dli.na%2540example.com", MAIL),
        ("%E6%9D%8E@example.com", "李@example.com"),
        ("<b>li.na&#64;example.com</b>", MAIL),
        ('{"to":"li.na\\u0040example.com"}', MAIL),
        ("li.na＠example.com", MAIL),
        ("call 85291234567", "+85291234567"),
        ("abc-84G-7ZW-YRB", "84G-7ZW-YRB"),
        ("84g7zwyrb", "84G-7ZW-YRB"),
        ("84g 7zw yrb", "84G-7ZW-YRB"),
        ("84g\u20117zw\u2013yrb", "84G-7ZW-YRB"),
        ("?tag=%2284G-7ZW-YRB%22", "84G-7ZW-YRB"),
    ],
)
def test_an_address_is_found_within_a_text(text: str, address: str) -> None:
    assert address in find_mentions(text)


@pytest.mark.parametrize(
    "text", ["", "您好", "@", "a@", "@b", "xli.na@example.com", "li.na@example.com.cn", "0199aabb"]
)
def test_what_only_resembles_an_address_is_not_that_address(text: str) -> None:
    assert MAIL not in find_mentions(text)


def test_a_long_text_of_what_resembles_addresses_takes_no_more_than_linear_time() -> None:
    text = ("-a" * 40 + "@" + "b-" * 120) * 1_000 + "@" * 50_000 + "1-2 " * 50_000 + "%2540%&" * 20_000 + "+(" * 50_000
    began = time.process_time()
    assert find_mentions(text) == set()
    assert time.process_time() - began < 5
