"""What a callback may be sent to: no address inside, in whatever form it is written."""

import ipaddress

import pytest

from imsg_callbacks.destinations import BadUrl, Gate, read_url
from imsg_callbacks.lookups import ask

INSIDE = [
    "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "168.63.129.16", "192.88.99.1", "198.18.0.1",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2001::1", "fc00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "3fff::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_inside_may_be_connected_to(address: str) -> None:
    assert Gate(()).find_objection(address, 443) is not None


@pytest.mark.parametrize("address", ["1.1.1.1", "120.55.37.37", "2400:3200::1", "::ffff:1.1.1.1"])
def test_what_is_on_the_internet_may_be_called_at_its_two_ports(address: str) -> None:
    assert Gate(()).find_objection(address, 443) is None
    assert Gate(()).find_objection(address, 80) is None
    assert Gate(()).find_objection(address, 25) is not None


@pytest.mark.parametrize("form", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1", "[::1]", "localhost"])
async def test_odd_forms_of_this_machine_are_resolved_and_then_refused(form: str) -> None:
    """However an address is written, the system's resolver reads it, and what it means is what is checked."""
    destination = read_url(f"http://{form}/")

    addresses = ask(destination.host, destination.port)

    assert addresses
    assert all(Gate(()).find_objection(one, 80) for one in addresses)
    assert all(ipaddress.ip_address(one).is_loopback for one in addresses)


def test_what_the_operator_opens_may_be_called_at_any_port() -> None:
    gate = Gate(("10.1.0.0/16", "fd00::/8"))

    assert gate.find_objection("10.1.2.3", 8_443) is None
    assert gate.find_objection("::ffff:10.1.2.3", 80) is None
    assert gate.find_objection("fd00::7", 80) is None
    assert gate.find_objection("10.2.0.1", 80) is not None


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "https://user:pass@example.com/",
     "https://a b/", "http://[::1%例]/", "http://[fe80::1%25eth0]/",
     "https://example.com:99999/", "https://example.com/#part", "https://[::1", "gopher://127.0.0.1:6379/_PING",
     "https://example.com/" + "a" * 2_000],
)  # fmt: skip
def test_what_is_no_url_of_ours_is_refused_in_both_languages(url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        read_url(url)
    assert refused.value.zh
    assert refused.value.en


def test_a_chinese_host_and_path_are_written_as_they_are_called() -> None:
    destination = read_url("https://回调.例子.cn/短信/状态?用户=张三")

    assert destination.url.isascii()
    assert destination.host.startswith("xn--")
    assert destination.port == 443
