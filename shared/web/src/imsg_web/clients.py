"""The address of a client behind trusted proxies."""

import ipaddress
from collections.abc import Sequence

from starlette.types import Scope

MAX_HOPS = 16

SITE_BITS = 64
"""The prefix length that one customer has at least in IPv6 (RFC 6177): it counts as one address."""

MAX_NAME_CHARACTERS = 64
"""The longest name of what is no address."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Clients:
    """Reads X-Forwarded-For from the right, as far as trusted proxies wrote it."""

    def __init__(self, trusted: Sequence[str]) -> None:
        """`trusted`: the networks of proxies."""
        self._trusted = tuple(ipaddress.ip_network(network, strict=False) for network in trusted)

    def address(self, scope: Scope) -> str:
        """Return the address that connected to the outermost trusted proxy; `unknown` without one."""
        client = scope.get("client")
        address = str(client[0]) if client else "unknown"
        if not self._trusted or not self.is_proxy(address):
            return address
        for hop in self._hops(scope):
            parsed = read_hop(hop)
            if parsed is None:
                break
            address = str(parsed)
            if not self._is_trusted(parsed):
                break
        return address

    def is_proxy(self, address: str) -> bool:
        """Return whether a trusted proxy has this address."""
        parsed = read_hop(address) if self._trusted else None
        return parsed is not None and self._is_trusted(parsed)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)

    def _hops(self, scope: Scope) -> list[str]:
        forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return ",".join(forwarded).split(",")[::-1][:MAX_HOPS]


def read_hop(text: str) -> Address | None:
    """Parse the address of a hop, as proxies write it; None where it is no address.

    Azure's gateways and IIS add the port (`192.0.2.1:4711`, `[2001:db8::1]:4711`), and RFC 7239 has quotes around that.
    """
    text = text.strip().strip('"')
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (host.endswith("]") or ":" not in host):
        text = host
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(address: str) -> str:
    """Return the network of an address: the address itself, or its /64 for IPv6."""
    parsed = read_hop(address)
    if parsed is None:
        return address[:MAX_NAME_CHARACTERS] or "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, SITE_BITS), strict=False))
    return str(parsed)
