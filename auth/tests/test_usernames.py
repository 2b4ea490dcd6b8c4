"""Which names, passwords and contacts may be, and the one spelling they are kept in."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from imsg_auth import usernames


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "admin",
        "天存-system-1001",
        "Zhang San",
        "Ünïcode",
        "نجم",
        "שלום",
        "नमस्ते",
        "🙂",
        "a" * 64,
        "天" * 64,
        "1001",
        "?&=#%",
    ],
)
def test_a_name_may_be_of_any_script(name: str) -> None:
    """One to 64 characters."""
    assert usernames.username(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 65,
        "a:b",
        "a/b",
        "a\nb",
        "a\0b",
        "a\x7fb",
        "a\u2028b",
        "a\u202eb",
        "\ud800",
        "zhang@example.com",
        "张三@例子.中国",
        "13800138000",
        "+8613800138000",
        "+14155552671",
    ],
)
def test_a_name_that_breaks_the_rules_is_refused(name: str) -> None:
    """Controls, the token's colon, the path's slash, and whatever reads as an address."""
    with pytest.raises(PydanticCustomError):
        usernames.username(name)


def test_a_name_that_reads_as_a_tag_is_refused_and_its_neighbour_is_not() -> None:
    """The check character makes the difference; case and hyphens don't."""
    tags = [f"0123456{a}{b}" for a in "789" for b in "ABCDEFGHJKMNPQRSTVWXYZ"]
    refused = []
    for tag in tags:
        try:
            usernames.username(tag.lower())
        except PydanticCustomError:
            refused.append(tag)
    assert 1 <= len(refused) <= 3


def test_one_name_has_one_spelling() -> None:
    """Composed or decomposed, it is the same name; case counts."""
    assert usernames.username("Jose\u0301") == usernames.normal("José") == "Jos\u00e9"
    assert usernames.username("Admin") != usernames.username("admin")


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_clients_shorten_out_of_a_path_is_refused(name: str) -> None:
    """No client could call /api/modify/.. for it."""
    with pytest.raises(PydanticCustomError):
        usernames.username(name)


@given(st.text(max_size=80))
def test_what_may_be_a_name_stays_itself(text: str) -> None:
    """Checking twice changes nothing, and no text breaks the check."""
    try:
        name = usernames.username(text)
    except PydanticCustomError:
        return
    assert usernames.username(name) == name
    assert usernames.is_possible(name)
    assert ":" not in name


def test_contacts_are_kept_in_their_normal_form() -> None:
    """One spelling each, so that two users can't share one."""
    assert usernames.phone("13800138000") == "+8613800138000"
    assert usernames.email("Zhang@Example.COM") == "Zhang@example.com"
    assert usernames.phone("") == usernames.email("") == usernames.wechat("") == ""
    for check in (usernames.phone, usernames.email, usernames.wechat):
        with pytest.raises(PydanticCustomError):
            check("not this")
