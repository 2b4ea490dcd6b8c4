"""Which addresses may be connected to: none that is forbidden to everybody, and no internal one that nothing allows."""

import pytest

from imsg_web.destinations import (
    FORBIDDEN,
    INSIDE,
    AddressForbidden,
    AddressPolicy,
    CheckedResolver,
    find_proxies,
    list_hosts,
    read_networks,
)

CLOSED = AddressPolicy((), "callbacks", "IMSG_CALLBACKS__ALLOW", ports=(80, 443))
OPEN = AddressPolicy(read_networks(["0.0.0.0/0", "::/0"]), "callbacks", "IMSG_CALLBACKS__ALLOW")

INTERNAL = [
    "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.88.99.1", "198.18.0.1",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2001::1", "fc00::1", "fec0::1", "ff02::1", "3fff::1", "5f00::1",
]  # fmt: skip

METADATA = [
    "169.254.169.254", "169.254.0.23", "fe80::1", "fe80::1%eth0", "100.100.100.200", "100.96.0.96", "168.63.129.16",
    "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "::169.254.169.254",
    "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:100.100.100.200",
]  # fmt: skip


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("policy", [CLOSED, OPEN, INSIDE])
def test_no_setting_allows_link_local_addresses_and_those_of_metadata(address: str, policy: AddressPolicy) -> None:
    named = AddressPolicy(policy.allowed, policy.caller, policy.setting, hosts=frozenset({("here", 80)}))
    assert policy.find_objection("here", address, 80) == FORBIDDEN
    assert named.find_objection("here", address, 80) == FORBIDDEN


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_may_be_called_only_where_something_allows_it(address: str) -> None:
    assert "IMSG_CALLBACKS__ALLOW" in (CLOSED.find_objection("here", address, 443) or "")
    assert INSIDE.find_objection("here", address, 25) is None
    named = AddressPolicy((), "", "", hosts=list_hosts({"accounts": [{"url": "http://here:8080/send?x"}]}))
    assert named.find_objection("here", address, 8_080) is None
    assert named.find_objection("here", address, 80)
    assert named.find_objection("there", address, 8_080)


@pytest.mark.parametrize("address", ["1.1.1.1", "120.55.37.37", "2400:3200::1", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_may_be_called_at_the_ports_of_the_policy(address: str) -> None:
    assert CLOSED.find_objection("there", address, 443) is None
    assert CLOSED.find_objection("there", address, 80) is None
    assert "25" in (CLOSED.find_objection("there", address, 25) or "")
    assert AddressPolicy((), "", "").find_objection("there", address, 7_862) is None


def test_networks_that_the_operator_allows_may_be_called_at_any_port() -> None:
    policy = AddressPolicy(read_networks(["10.1.0.0/16", "fd00::/8"]), "callbacks", "", ports=(80, 443))

    assert policy.find_objection("here", "10.1.2.3", 8_443) is None
    assert policy.find_objection("here", "::ffff:10.1.2.3", 80) is None
    assert policy.find_objection("here", "fd00::7", 80) is None
    assert policy.find_objection("here", "10.2.0.1", 80) is not None


async def test_a_name_with_one_forbidden_address_among_several_is_refused() -> None:
    async def look_up(host: str, port: int) -> list[str]:
        del host, port
        return ["127.0.0.1", "169.254.169.254"]

    with pytest.raises(AddressForbidden, match="link-local") as refused:
        await CheckedResolver(INSIDE, look_up).resolve("rebound.example.com", 443)
    assert "169.254" not in str(refused.value)


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "2852039166", "127.1", "::ffff:127.0.0.1"])
def test_an_address_is_refused_in_every_form_before_a_proxy_is_asked(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://10.0.0.1:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    find = find_proxies(CLOSED)
    assert find("http", "provider.example.com") == "http://10.0.0.1:3128"
    with pytest.raises(AddressForbidden):
        find("http", host)
