"""Which address a client has, behind proxies that may be believed."""

import ipaddress
from collections.abc import Sequence

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_HOPS = 16


class Clients:
    """Reads X-Forwarded-For from the right, as far as trusted proxies wrote it."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def address(self, scope: Scope) -> str:
        """Return the address of whoever spoke to the outermost trusted proxy; `unknown` where there is none."""
        client = scope.get("client")
        address = str(client[0]) if client else "unknown"
        if not self._trusted or not self._is_trusted(address):
            return address
        for hop in self._hops(scope):
            if not _is_address(hop):
                break
            address = hop
            if not self._is_trusted(hop):
                break
        return address

    def _hops(self, scope: Scope) -> list[str]:
        forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in ",".join(forwarded).split(",")]
        return hops[::-1][:MAX_HOPS]

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
