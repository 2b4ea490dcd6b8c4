"""The senders of mail."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_smtp.senders import Sender, parse


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("noreply@example.com", "", "noreply@example.com"),
        (" noreply@Example.COM ", "", "noreply@example.com"),
        ("<noreply@example.com>", "", "noreply@example.com"),
        ("天存 <noreply@example.com>", "天存", "noreply@example.com"),
        ("天存信息 通知<noreply@example.com>", "天存信息 通知", "noreply@example.com"),
        ('"Tiancun, Inc." <noreply@example.com>', "Tiancun, Inc.", "noreply@example.com"),
        (r'"say \"hi\"" <noreply@example.com>', 'say "hi"', "noreply@example.com"),
        (' "" < noreply@example.com > ', "", "noreply@example.com"),
        (r'"a\\" <noreply@example.com>', "a\\", "noreply@example.com"),
        ("imsg@localhost", "", "imsg@localhost"),
        ("imsg@例子.中国", "", "imsg@xn--fsqu00a.xn--fiqs8s"),
    ],
)
def test_a_sender_is_an_address_with_or_without_a_name(text: str, name: str, address: str) -> None:
    assert parse(text) == Sender(name, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "天存",
        "a@",
        "a b@example.com",
        "a@example.com, b@example.com",
        "x <a@example.com> y",
        "x <a@example.com",
        "x <a@example.com>>",
        "x <<a@example.com>",
        'x "y" <a@example.com>',
        '"x" y <a@example.com>',
        '"x"y" <a@example.com>',
        "<" + " " * 60_000 + "x",
        " " * 60_000 + "x",
        "x\r\nBcc: b@example.com <a@example.com>",
        "天存@example.com",
        f"{'x' * 129} <a@example.com>",
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(is no|may not|must be|has a name)"):
        parse(text)


@given(st.text() | st.builds("{} <{}@{}>".format, st.text(), st.text(), st.text()))
def test_any_sender_is_read_or_refused_with_the_reason(text: str) -> None:
    with suppress(ValueError):
        sender = parse(text)
        assert sender.address.isascii()
        assert sender.name.isprintable()
