"""Client addresses: the proxies that are trusted, and the accepted spellings."""

import pytest
from starlette.types import Scope

from imsg_web.clients import Clients, network_of


def scope(peer: str, *forwarded: str) -> Scope:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": (peer, 40_000), "headers": headers}


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ('"192.0.2.1:4711"', "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
    ],
)
def test_a_hop_is_read_with_its_port_its_brackets_and_its_quotes(written: str, address: str) -> None:
    clients = Clients(("10.0.0.0/8",))
    assert clients.address(scope("10.0.0.1", f"198.51.100.9, {written}")) == address
    assert clients.address(scope("10.0.0.1", written, "10.0.0.2:8080, [::ffff:10.0.0.3]:1")) == address
    assert clients.address(scope("::ffff:10.0.0.1", written)) == address


@pytest.mark.parametrize(
    "written",
    ["", "unknown", "_hidden:1", "192.0.2.1:", "192.0.2.1:80:90", "[192.0.2.1", "[2001:db8::1]x", "a" * 9000],
)
def test_what_is_no_address_leaves_the_proxys_own(written: str) -> None:
    assert Clients(("10.0.0.0/8",)).address(scope("10.0.0.1", written)) == "10.0.0.1"


def test_no_other_client_is_trusted() -> None:
    assert Clients(("10.0.0.0/8",)).address(scope("192.0.2.7", "198.51.100.9:1")) == "192.0.2.7"
    assert Clients(()).address(scope("10.0.0.1", "198.51.100.9")) == "10.0.0.1"


def test_addresses_of_one_site_are_one_network() -> None:
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::1%eth0") == "2001:db8:1:2::/64"
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("unknown") == "unknown"
