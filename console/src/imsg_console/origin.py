"""Where a request comes from: over TLS or not, from the console's own page or another."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOCKED = "__Host-"
"""Prefix of a cookie's name with TLS: browsers accept it from this host only, and over TLS only."""

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Origins:
    """Checks the origin of requests by headers that pages cannot forge."""

    def __init__(self, public_url: str, trusted: Sequence[Network]) -> None:
        self._public = urlsplit(public_url)
        self._trusted = tuple(trusted)

    def is_tls(self, scope: Scope) -> bool:
        """Return whether the browser uses TLS: to us, to a trusted proxy, or by IMSG_PUBLIC_URL."""
        if scope.get("scheme") in ("https", "wss") or self._public.scheme == "https":
            return True
        client = scope.get("client")
        if client is None or not self._is_trusted(str(client[0])):
            return False
        return Headers(scope=scope).get("x-forwarded-proto", "").split(",")[0].strip() == "https"

    def cookie(self, scope: Scope, name: str) -> str:
        """Return the name of a cookie here."""
        return f"{LOCKED}{name}" if self.is_tls(scope) else name

    def is_ours(self, scope: Scope) -> bool:
        """Return whether a request comes from the console's own page: against CSRF and foreign WebSockets."""
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
