"""Tokens: their documented outer form, their signature, and their single spelling."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from imsg_contract import tokens

KEY, OLD_KEY, STRANGE_KEY = SecretStr("first"), SecretStr("second"), SecretStr("never ours")
ID = "0193" + "a" * 28
NONCE = "99c150e9c6dd7be92b52d7b338f5fcd6"

names = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=":/"), min_size=1, max_size=64)


def make(username: str = "天存-system-1001", epoch: int = 7, expiry: int = 1_503_030_095) -> str:
    """Make a token with the first key."""
    return tokens.make(username, ID, epoch, expiry=expiry, nonce=NONCE, key=KEY)


def parse(text: str) -> tokens.Token:
    """Parse what must be a token."""
    token = tokens.parse(text)
    assert token is not None
    return token


def test_a_token_has_the_documents_outer_form() -> None:
    """Standard base64 of nonce, expiry, name and MAC, and the MAC also covers the user's id and epoch."""
    nonce, expiry, username, mac = base64.b64decode(make(), validate=True).decode().split(":")
    assert (nonce, expiry, username) == (NONCE, "1503030095", "天存-system-1001")
    signed = f"{NONCE}:1503030095:天存-system-1001:{ID}:7".encode()
    assert mac == hmac.new(b"first", signed, hashlib.sha256).hexdigest()


@given(username=names, epoch=st.integers(0, 2**53), expiry=st.integers(1, 10**12 - 1))
def test_what_was_made_is_read_and_verified(username: str, epoch: int, expiry: int) -> None:
    """Names of any script."""
    token = parse(tokens.make(username, ID, epoch, expiry=expiry, nonce=NONCE, key=KEY))
    assert (token.nonce, token.expiry, token.username) == (NONCE, expiry, username)
    assert tokens.verify(token, ID, epoch, [KEY])


def test_every_key_verifies_and_the_first_signs() -> None:
    """Keys are changed by putting the new one in front."""
    old = parse(tokens.make("zhang", ID, 1, expiry=2, nonce=NONCE, key=OLD_KEY))
    assert tokens.verify(old, ID, 1, [KEY, OLD_KEY])
    assert not tokens.verify(old, ID, 1, [KEY])


def test_a_raised_epoch_ends_every_token_of_the_user() -> None:
    """The epoch is under the MAC."""
    assert not tokens.verify(parse(make(epoch=7)), ID, 8, [KEY, OLD_KEY])


def test_a_token_holds_for_its_users_id_alone() -> None:
    """Not even a user of the same name and epoch could use it."""
    assert not tokens.verify(parse(make(epoch=7)), "0193" + "b" * 28, 7, [KEY])


def test_without_keys_nothing_is_verified() -> None:
    """An empty list must not mean that anything goes."""
    assert not tokens.verify(parse(make()), ID, 7, [])


@pytest.mark.parametrize("field", range(4))
def test_a_changed_field_is_not_verified(field: int) -> None:
    """Each of the four is under the MAC, or is it."""
    fields = base64.b64decode(make()).decode().split(":")
    changed = {0: "0" * 32, 1: "9999999999", 2: "admin", 3: "0" * 64}
    fields[field] = changed[field]
    assert not tokens.verify(parse(base64.b64encode(":".join(fields).encode()).decode()), ID, 7, [KEY])


def test_a_token_of_another_key_is_not_verified() -> None:
    """Forged."""
    token = parse(tokens.make("admin", ID, 7, expiry=9_999_999_999, nonce=NONCE, key=STRANGE_KEY))
    assert not tokens.verify(token, ID, 7, [KEY, OLD_KEY])


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r\n", "\v", "\f"])
def test_ascii_white_space_is_dropped(space: str) -> None:
    """Java's encoder and `base64` wrap lines at 76 characters."""
    text = make()
    assert tokens.parse(space + text[:76] + space + text[76:] + space) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "    ",
        "OTljMTUwZTljNmRkN2JlOTJiNTJkN2IzMzhmNWZjZDY6MTUwMzAzMDA5NS43NDA3NTc1Onpoan",
        "no base64!",
        "令牌",
        "\ud800",
        "\u3000" + make(),
        make() + "\u00a0",
        make().rstrip("=") if make().endswith("=") else make() + "=",
        make().replace("+", "-").replace("/", "_") + "-_",
        base64.b64encode(b"\xff" * 30).decode(),
        base64.b64encode(b"a:b:c:d").decode(),
        base64.b64encode(f"{NONCE}:1:a".encode()).decode(),
        base64.b64encode(f"{NONCE}:1:a:b:{'0' * 64}".encode()).decode(),
        base64.b64encode(f"{NONCE}:1::{'0' * 64}".encode()).decode(),
        base64.b64encode(f"{NONCE}:-1:a:{'0' * 64}".encode()).decode(),
        base64.b64encode(f"{NONCE}:１:a:{'0' * 64}".encode()).decode(),
        base64.b64encode(f"{NONCE}:{'9' * 5000}:a:{'0' * 64}".encode()).decode(),
        base64.b64encode(f"{NONCE.upper()}:1:a:{'0' * 64}".encode()).decode(),
        "A" * 1_000_000,
    ],
)
def test_what_is_no_token_is_not_read(text: str) -> None:
    """And never raises."""
    assert tokens.parse(text) is None


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """The text comes from unauthenticated clients."""
    assert tokens.parse(text) is None


def test_one_token_has_one_text() -> None:
    """Spare bits in the last character would make several texts of one token."""
    text = next(make(username) for username in ("a", "ab", "abc") if make(username).endswith("="))
    body, pads = text.rstrip("="), text.count("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    neighbour = alphabet[alphabet.index(body[-1]) + 1]
    assert base64.b64decode(body[:-1] + neighbour + "=" * pads) == base64.b64decode(text)
    assert tokens.parse(body[:-1] + neighbour + "=" * pads) is None


def test_a_token_expires_with_its_second() -> None:
    """Void from the time it names on."""
    token = parse(make(expiry=1000))
    assert not token.has_expired(999.9)
    assert token.has_expired(1000)
