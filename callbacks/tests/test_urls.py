"""Which URLs a callback may have, and what odd forms of an address lead to."""

import ipaddress

import pytest

from imsg_callbacks.lookups import look_up
from imsg_callbacks.urls import BadUrl, read_url
from imsg_web.destinations import AddressPolicy

POLICY = AddressPolicy((), "callbacks", "IMSG_CALLBACKS__ALLOW")


@pytest.mark.parametrize("form", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1", "[::1]", "localhost"])
async def test_odd_forms_of_loopback_are_resolved_and_refused(form: str) -> None:
    """The system's resolver reads every form, and the resulting address is checked."""
    destination = read_url(f"http://{form}/")

    addresses = look_up(destination.host, destination.port)

    assert addresses
    assert all(POLICY.find_objection(form, address, 80) for address in addresses)
    assert all(ipaddress.ip_address(address).is_loopback for address in addresses)


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "https://user:pass@example.com/",
     "https://a b/", "http://[::1%例]/", "http://[fe80::1%25eth0]/",
     "https://example.com:99999/", "https://example.com/#part", "https://[::1", "gopher://127.0.0.1:6379/_PING",
     "https://example.com/" + "a" * 2_000],
)  # fmt: skip
def test_an_invalid_url_is_refused_in_both_languages(url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        read_url(url)
    assert refused.value.zh
    assert refused.value.en


def test_a_chinese_host_and_path_are_encoded() -> None:
    destination = read_url("https://回调.例子.cn/短信/状态?用户=张三")

    assert destination.url.isascii()
    assert destination.host.startswith("xn--")
    assert destination.port == 443
