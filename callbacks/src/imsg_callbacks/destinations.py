"""Where a callback may go: what a URL may say, and which addresses may be connected to.

Whoever sets a URL chooses where this very server connects to; what is inside its networks must stay out of reach, but
for what the operator opens. `ipaddress.is_global` is not enough: it lets multicast, NAT64, 6to4 and others through.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"https": 443, "http": 80}
MAX_URL = 2_000

INSIDE: tuple[Network, ...] = tuple(
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
"""What is nobody's on the internet (IANA's special-purpose registries), carries an IPv4 address inside it, or answers
the machines of a cloud alone."""


UNESCAPED = "/%:@!$&'()*+,;=~-._"
"""What stands in a path or query as it is; anything else, Chinese above all, is percent-encoded."""


class BadUrl(Exception):  # noqa: N818  a finding
    """No URL of ours: why, in Chinese and in English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that can be called."""

    url: str
    """In ASCII, as it is called."""
    host: str
    port: int


@lru_cache(1_024)
def read_url(url: str) -> Destination:
    """Read a callback's URL. Raises BadUrl."""
    if len(url) > MAX_URL or any(character <= " " or character == "\x7f" for character in url):
        raise BadUrl(
            f"应为不超过 {MAX_URL} 个字符、不含空白的网址",
            f"it must be a URL of at most {MAX_URL} characters, without spaces",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if ":" not in (parts.hostname or "") else parts.hostname
    except ValueError as error:  # UnicodeError is one
        raise BadUrl("不是合法的网址", "it is no URL") from error
    if parts.scheme not in PORTS or not host:
        raise BadUrl(
            "应以 https:// 或 http:// 开头，并写明主机", "it must begin with https:// or http:// and name a host"
        )
    if ":" in host and (not host.isascii() or "%" in host):  # an IPv6 address, of which no zone means anything here
        raise BadUrl("不是合法的网址", "it is no URL")
    if parts.username is not None or parts.password is not None:
        raise BadUrl(
            "网址里不能有用户名和密码；请用签名验证来源",
            "it must hold no user and password; the signature says who calls",
        )
    if parts.fragment:
        raise BadUrl("网址里不能有 # 之后的部分", "it must hold no fragment")
    place = f"[{host}]" if ":" in host else host
    path = quote(parts.path or "/", safe=UNESCAPED)
    query = f"?{quote(parts.query, safe=UNESCAPED + '?')}" if parts.query else ""
    written = f"{parts.scheme}://{place}{f':{port}' if port else ''}{path}{query}"
    return Destination(written, host, port or PORTS[parts.scheme])


class Gate:
    """Says which addresses may be connected to."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """Take the operator's networks, in which any port may be called (`IMSG_CALLBACKS__ALLOW`)."""
        self._allowed = tuple(ipaddress.ip_network(one, strict=False) for one in allowed)

    def find_objection(self, address: str, port: int) -> str | None:
        """Say why an address may not be connected to; None where it may.

        What the address is stays unsaid: who set the URL is told this, and knows a name alone.
        """
        try:
            read = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "the host has no address that can be called"
        meant = unwrap(read)
        if any(meant in network or read in network for network in self._allowed):
            return None
        if any(one in network for one in (read, meant) for network in INSIDE):
            return "the host is inside a network that callbacks may not reach (IMSG_CALLBACKS__ALLOW)"
        if port not in PORTS.values():
            return f"port {port} may not be called: only 80 and 443 may, outside IMSG_CALLBACKS__ALLOW"
        return None


def unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for: mapped (`::ffff:127.0.0.1`); else the address itself."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
