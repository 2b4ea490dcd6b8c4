"""API keys: a key names its user, has a checksum, and is stored as a digest alone."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from imsg_contract import api_keys
from imsg_contract.api_keys import KeyKind

ids = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")


@given(ids, st.sampled_from(["live", "test"]))
def test_a_key_is_read_as_it_was_made(user_id: str, kind: KeyKind) -> None:
    text = api_keys.make(kind, user_id)
    assert text.startswith(f"imsg_{kind}_")
    read = api_keys.parse(f" {text}\n")
    assert read == api_keys.ApiKey(kind, user_id, hashlib.sha256(text.encode()).hexdigest())
    assert api_keys.make(kind, user_id) != text


def test_no_key_with_a_mistake_is_read() -> None:
    text = api_keys.make("live", "0193" + "a" * 28)
    for at in range(len(text)):
        other = "a" if text[at] != "a" else "b"
        assert api_keys.parse(text[:at] + other + text[at + 1 :]) is None
        assert api_keys.parse(text[:at] + text[at + 1 :]) is None
    for wrong in ("", "imsg_live_", text.replace("live", "test"), text + "a", text.replace("_live_", "_live_0")):
        assert api_keys.parse(wrong) is None


def test_a_hint_shows_the_kind_and_four_digits() -> None:
    text = api_keys.make("live", "0193" + "a" * 28)
    assert api_keys.hint(text) == f"imsg_live_…{text[-4:]}"
