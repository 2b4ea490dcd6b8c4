"""Which URLs and addresses a callback may call: no internal address, in whatever form."""

import ipaddress

import pytest

from imsg_callbacks.destinations import AddressPolicy, BadUrl, read_url
from imsg_callbacks.lookups import look_up

INTERNAL_NETWORKS = [
    "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "168.63.129.16", "192.88.99.1", "198.18.0.1",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2001::1", "fc00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "3fff::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INTERNAL_NETWORKS)
def test_no_internal_address_may_be_called(address: str) -> None:
    assert AddressPolicy(()).find_objection(address, 443) is not None


@pytest.mark.parametrize("address", ["1.1.1.1", "120.55.37.37", "2400:3200::1", "::ffff:1.1.1.1"])
def test_public_addresses_may_be_called_at_ports_80_and_443(address: str) -> None:
    assert AddressPolicy(()).find_objection(address, 443) is None
    assert AddressPolicy(()).find_objection(address, 80) is None
    assert AddressPolicy(()).find_objection(address, 25) is not None


@pytest.mark.parametrize("form", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1", "[::1]", "localhost"])
async def test_odd_forms_of_loopback_are_resolved_and_refused(form: str) -> None:
    """The system's resolver reads every form, and the resulting address is checked."""
    destination = read_url(f"http://{form}/")

    addresses = look_up(destination.host, destination.port)

    assert addresses
    assert all(AddressPolicy(()).find_objection(address, 80) for address in addresses)
    assert all(ipaddress.ip_address(address).is_loopback for address in addresses)


def test_networks_that_the_operator_allows_may_be_called_at_any_port() -> None:
    policy = AddressPolicy(("10.1.0.0/16", "fd00::/8"))

    assert policy.find_objection("10.1.2.3", 8_443) is None
    assert policy.find_objection("::ffff:10.1.2.3", 80) is None
    assert policy.find_objection("fd00::7", 80) is None
    assert policy.find_objection("10.2.0.1", 80) is not None


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
