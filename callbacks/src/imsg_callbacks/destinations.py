"""The URLs and IP addresses that a callback may call.

A user chooses the URL that this server connects to, and must not reach its internal networks (SSRF), except those
that the operator allows. `ipaddress.is_global` is not enough: it accepts multicast, NAT64, 6to4 and others.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

from imsg_web.http_pool import PORTS, UNESCAPED

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL = 2_000

INTERNAL_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20",
        "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
"""IANA's special-purpose registries, prefixes that embed an IPv4 address, and the metadata addresses of clouds."""


class BadUrl(Exception):  # noqa: N818  a finding
    """A URL that a callback can't have; `zh` and `en` say why."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that a callback may have, and the host and port that it names."""

    url: str
    """In ASCII, percent-encoded."""
    host: str
    port: int


@lru_cache(1_024)
def read_url(url: str) -> Destination:
    """Parse the URL of a callback; Chinese hosts and paths are encoded. Raises BadUrl."""
    if len(url) > MAX_URL or any(character <= " " or character == "\x7f" for character in url):
        raise BadUrl(
            f"应为不超过 {MAX_URL} 个字符、不含空白的网址",
            f"it must be a URL of at most {MAX_URL} characters, without spaces",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if ":" not in (parts.hostname or "") else parts.hostname
    except ValueError as error:  # UnicodeError is a ValueError
        raise BadUrl("不是合法的网址", "it is no URL") from error
    if parts.scheme not in PORTS or not host:
        raise BadUrl(
            "应以 https:// 或 http:// 开头，并写明主机", "it must begin with https:// or http:// and name a host"
        )
    if ":" in host and (not host.isascii() or "%" in host):  # an IPv6 address; zones are refused
        raise BadUrl("不是合法的网址", "it is no URL")
    if parts.username is not None or parts.password is not None:
        raise BadUrl(
            "网址里不能有用户名和密码；请用签名验证来源",
            "it must hold no user and password; the signature says who calls",
        )
    if parts.fragment:
        raise BadUrl("网址里不能有 # 之后的部分", "it must hold no fragment")
    authority = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=UNESCAPED)
    query = f"?{quote(parts.query, safe=UNESCAPED + '?')}" if parts.query else ""
    ascii_url = f"{parts.scheme}://{authority}{f':{port}' if port else ''}{path}{query}"
    return Destination(ascii_url, host, port or PORTS[parts.scheme])


class AddressPolicy:
    """The addresses that callbacks may connect to."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """Allow any port of the operator's networks (`IMSG_CALLBACKS__ALLOW`) beside public addresses."""
        self._allowed = tuple(ipaddress.ip_network(network, strict=False) for network in allowed)

    def find_objection(self, address: str, port: int) -> str | None:
        """Return why an address may not be connected to, without naming it; None if it may.

        The user who set the URL reads the reason, and must not learn which address the host has.
        """
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "the host has no address that can be called"
        unwrapped = unwrap(parsed)
        if any(unwrapped in network or parsed in network for network in self._allowed):
            return None
        if any(parsed in network or unwrapped in network for network in INTERNAL_NETWORKS):
            return "the host is inside a network that callbacks may not reach (IMSG_CALLBACKS__ALLOW)"
        if port not in PORTS.values():
            return f"port {port} may not be called: only 80 and 443 may, outside IMSG_CALLBACKS__ALLOW"
        return None


def unwrap(address: Address) -> Address:
    """Return the IPv4 address that is mapped into an IPv6 one (`::ffff:127.0.0.1`); any other address unchanged."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
