"""Normal forms: what is taken, what is refused, and one spelling for all spellings."""
# ruff: noqa: S311  seeded on purpose: a test makes the same tags each time

from random import Random

import email_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_contract.addresses import CROCKFORD, email, make_tag, phone, tag


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("zhang@163.com", "zhang@163.com"),
        ("Zhang.San@163.COM", "Zhang.San@163.com"),
        ("a+b@sub.example.co.uk", "a+b@sub.example.co.uk"),
        ("张三@例子.中国", "张三@xn--fsqu00a.xn--fiqs8s"),
        ("zhang@xn--fsqu00a.xn--fiqs8s", "zhang@xn--fsqu00a.xn--fiqs8s"),
        ("ZHANG@ＥＸＡＭＰＬＥ.com", "ZHANG@example.com"),
        ("e\u0301@example.com", "é@example.com"),
        ("root@localhost", "root@localhost"),
        ("ops@mail.local", "ops@mail.local"),
        ("x" * 64 + "@a.com", "x" * 64 + "@a.com"),
    ],
)
def test_an_email_address_has_one_normal_form(written: str, normal: str) -> None:
    assert email(written) == normal
    assert email(normal) == normal


@pytest.mark.parametrize(
    "written",
    [
        "",
        "@",
        "zhang",
        "@163.com",
        "zhang@",
        "zhang@163",
        "zhang@163..com",
        ".zhang@163.com",
        "zhang.@163.com",
        "zh..ang@163.com",
        "zhang@-163.com",
        "zhang@163.com.",
        "zhang@163_.com",
        "zhang@1.2.3.4",
        "zhang@[127.0.0.1]",
        '"zhang san"@163.com',
        "zhang@163.com\n",
        "zhang@163.com\r\nBcc: li@163.com",
        "zhang\x00@163.com",
        "zhang@163.com\x7f",
        " zhang@163.com",
        "zhang san@163.com",
        "zhang@163.com,li@163.com",
        "张三 <zhang@163.com>",
        "a\u202eb@163.com",
        "a\ud800@163.com",
        "x" * 65 + "@163.com",
        "x@" + ("y" * 63 + ".") * 4 + "com",
        "张" * 200 + "@163.com",
        "ｚｈａｎｇ@163.com",
        "１５９１２３４@qq.com",
    ],
)
def test_what_is_no_email_address_is_refused(written: str) -> None:
    assert email(written) is None


_ATOM = st.text("abcXYZ019._%+-", min_size=1, max_size=12)
_HOST = st.text("abcXYZ019.-", min_size=1, max_size=16)


@given(local=_ATOM, host=_HOST, top=st.sampled_from(["com", "CN", "museum"]))
def test_the_cheap_reading_of_plain_addresses_agrees_with_the_library(local: str, host: str, top: str) -> None:
    written = f"{local}@{host}.{top}"
    try:
        found = email_validator.validate_email(written, check_deliverability=False)
        expected = f"{found.local_part}@{found.ascii_domain}"
    except email_validator.EmailNotValidError:
        expected = None
    assert email(written) == expected


@given(st.text())
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (email, phone, tag):
        assert read(text) is None or read(str(read(text))) == read(text)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("13800138000", "+8613800138000"),
        ("19912345678", "+8619912345678"),
        ("+8613800138000", "+8613800138000"),
        ("+16502530000", "+16502530000"),
        ("+85291234567", "+85291234567"),
    ],
)
def test_a_phone_number_is_normalised_to_e164(written: str, normal: str) -> None:
    assert phone(written) == normal


@pytest.mark.parametrize(
    "written",
    [
        "",
        "12800138000",
        "1380013800",
        "138001380000",
        "+861380013800",
        "+8602012345678",
        "+0123456789",
        "+1650253000000000",
        "138 0013 8000",
        "１３８００１３８０００",
        "13800138000\n",
        "159####1256",
        "zhang",
    ],
)
def test_what_is_no_phone_number_is_refused(written: str) -> None:
    assert phone(written) is None


def test_a_tag_is_read_without_regard_to_case_hyphens_and_look_alikes() -> None:
    shown = next(made for seed in range(999) if {"0", "1"} <= set(made := make_tag(Random(seed))))
    for written in (
        shown,
        shown.replace("-", ""),
        shown.lower(),
        shown.replace("0", "O").replace("1", "I"),
        shown.replace("0", "o").replace("1", "l"),
    ):
        assert tag(written) == shown


def test_a_tag_is_eight_characters_and_a_check_character_in_threes() -> None:
    shown = make_tag(Random(7))
    assert [len(group) for group in shown.split("-")] == [3, 3, 3]
    assert set(shown) <= {*CROCKFORD, "-"}


@given(seed=st.integers(0, 2**32), place=st.integers(0, 8), other=st.sampled_from(CROCKFORD))
def test_one_wrong_character_never_makes_another_tag(seed: int, place: int, other: str) -> None:
    letters = make_tag(Random(seed)).replace("-", "")
    mistyped = letters[:place] + other + letters[place + 1 :]
    assert (tag(mistyped) is not None) == (mistyped == letters)


@pytest.mark.parametrize(
    "written", ["", "7K3", "7K3-M9Q-2XU", "7K3-M9Q-2X!", "7K3-M9Q-2XFF", "zhang@163.com", "天" * 9]
)
def test_what_is_no_tag_is_refused(written: str) -> None:
    assert tag(written) is None
