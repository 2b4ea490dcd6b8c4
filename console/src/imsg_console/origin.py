"""Where a request comes from: over TLS or not, from our own page or another's."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOCKED = "__Host-"
"""Before a cookie's name where there is TLS: browsers then take it from this very host alone, over TLS alone."""

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Origins:
    """Judges requests by what browsers say about where they come from and pages can't forge."""

    def __init__(self, public_url: str, trusted: Sequence[Network]) -> None:
        self._public = urlsplit(public_url)
        self._trusted = tuple(trusted)

    def is_tls(self, scope: Scope) -> bool:
        """Tell whether the browser speaks TLS: to us, to a proxy that may be believed, or by IMSG_PUBLIC_URL."""
        if scope.get("scheme") in ("https", "wss") or self._public.scheme == "https":
            return True
        client = scope.get("client")
        if client is None or not self._is_trusted(str(client[0])):
            return False
        return Headers(scope=scope).get("x-forwarded-proto", "").split(",")[0].strip() == "https"

    def cookie(self, scope: Scope, name: str) -> str:
        """Return what a cookie is called here."""
        return f"{LOCKED}{name}" if self.is_tls(scope) else name

    def is_ours(self, scope: Scope) -> bool:
        """Tell whether a page of ours asks: against CSRF and foreign WebSockets, for whatever changes things."""
        headers = Headers(scope=scope)
        origin = urlsplit(headers.get("origin", ""))
        if not origin.netloc:
            return False
        return origin.netloc.lower() in (headers.get("host", "").lower(), self._public.netloc.lower())

    def _is_trusted(self, address: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) in network for network in self._trusted)
        except ValueError:
            return False
