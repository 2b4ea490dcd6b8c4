"""Calls by httpx that connect only to addresses that a policy allows."""

import ssl

import httpx

from imsg_web.destinations import AddressPolicy, CheckedResolver, find_proxies
from imsg_web.http_pool import PORTS


class CheckedTransport(httpx.AsyncBaseTransport):
    """Connects to a checked address of the host, or by the environment's proxy.

    Raises AddressForbidden beside httpx's errors.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        limits: httpx.Limits,
        verify: ssl.SSLContext | None = None,
        uses_proxy: bool = True,
    ) -> None:
        self._resolver = CheckedResolver(policy)
        self._find_proxy = find_proxies(policy) if uses_proxy else lambda _scheme, _host: None
        self._limits = limits
        self._verify = verify or httpx.create_ssl_context()
        self._transports: dict[str, httpx.AsyncHTTPTransport] = {}
        """Host or proxy → its connections: one made for a host is used for no other, whose certificate it did not see.
        """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call."""
        scheme, host = request.url.scheme, request.url.raw_host.decode("ascii")
        if scheme not in PORTS:
            raise httpx.UnsupportedProtocol(f"a URL begins with https:// or http://, not with {scheme}:")
        if (proxy := self._find_proxy(scheme, host)) is not None:
            return await self._open(proxy, proxy).handle_async_request(request)
        try:
            addresses = await self._resolver.resolve(host, request.url.port or PORTS[scheme])
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        transport = self._open(host)
        for address in addresses[:-1]:
            try:
                return await transport.handle_async_request(_direct(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await transport.handle_async_request(_direct(request, host, addresses[-1]))

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _open(self, name: str, proxy: str | None = None) -> httpx.AsyncHTTPTransport:
        if name not in self._transports:
            self._transports[name] = httpx.AsyncHTTPTransport(verify=self._verify, limits=self._limits, proxy=proxy)
        return self._transports[name]


def _direct(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """Return a request that connects to an address of its host, whose certificate has to be the host's."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
