"""Signatures and safe mode by WeChat's own published samples, and nothing forged gets through."""

import base64
from xml.etree.ElementTree import Element

import defusedxml.ElementTree
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_wechat.crypto import NotGenuine, decode_key, decrypt, encrypt, is_genuine, sign

APPID = "wx2c2769f8efd9abc2"
KEY = decode_key("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG")
ENCRYPTED = (
    "hyzAe4OzmOMbd6TvGdIOO6uBmdJoD0Fk53REIHvxYtJlE2B655HuD0m8KUePWB3+LrPXo87wzQ1QLvbeUgmBM4x6F8PGHQHFVAFmOD2LdJF9Fr"
    "XpbUAh0B5GIItb52sn896wVsMSHGuPE328HnRGBcrS7C41IzDWyWNlZkyyXwon8T332jisa+h6tEDYsVticbSnyU8dKOIbgU6ux5VTjg3yt+WG"
    "zjlpKn6NPhRjpA912xMezR4kw6KWwMrCVKSVCZciVGCgavjIQ6X8tCOp3yZbGpy0VxpAe+77TszTfRd5RJSVO/HTnifJpXgCSUdUue1v6h0EIB"
    "YYI1BD1DlD+C0CR8e6OewpusjZ4uBl9FyJvnhvQl+q5rv1ixrcpCumEPo5MJSgM9ehVsNPfUM669WuMyVWQLCzpu9GhglF2PE="
)


@pytest.mark.parametrize(
    ("timestamp", "nonce", "expected"),
    [
        ("1714036504", "1514711492", "f464b24fc39322e44b38aa78f5edd27bd1441696"),
        ("1714037059", "486452656", "899cf89e464efb63f54ddac96b0a0a235f53aa78"),
    ],
)
def test_the_published_webhook_signatures_are_ours(timestamp: str, nonce: str, expected: str) -> None:
    """message-push.md, token AAAAA."""
    assert sign("AAAAA", timestamp, nonce) == expected
    assert is_genuine(expected, "AAAAA", timestamp, nonce)
    assert not is_genuine(expected, "AAAAB", timestamp, nonce)


def test_the_published_safe_mode_sample_decrypts() -> None:
    """The official sample: its signature, its text and its MsgId."""
    assert sign("spamtest", "1409735669", "1320562132", ENCRYPTED) == "5d197aaffba7e9b25a30732f161a50dee96bd5fa"
    message: Element = defusedxml.ElementTree.fromstring(decrypt(ENCRYPTED, KEY, APPID))
    assert message.findtext("FromUserName") == "oyORnuP8q7ou2gfYjqLzSIWZf0rs"
    assert message.findtext("Content") == "abcdteT"
    assert message.findtext("MsgId") == "6054768590064713728"


@given(message=st.binary(max_size=200), random=st.binary(min_size=16, max_size=16))
def test_what_is_encrypted_decrypts_to_itself(message: bytes, random: bytes) -> None:
    """For every length of padding."""
    assert decrypt(encrypt(message, KEY, APPID, random), KEY, APPID) == message


@given(junk=st.binary(max_size=160))
def test_junk_is_one_verdict_and_never_a_crash(junk: bytes) -> None:
    """The verdict does not reveal what is wrong."""
    with pytest.raises(NotGenuine):
        decrypt(base64.b64encode(junk).decode(), KEY, APPID)


def test_a_message_for_another_account_is_not_for_us() -> None:
    """The trailing appid is compared, not the ToUserName."""
    with pytest.raises(NotGenuine):
        decrypt(ENCRYPTED, KEY, "wx0000000000000000")


@pytest.mark.parametrize("bad", ["", "abc", "é" * 43, "a" * 44])
def test_a_wrong_aes_key_is_named(bad: str) -> None:
    """It is a setting, so the start says so."""
    with pytest.raises(ValueError, match="must"):
        decode_key(bad)
