"""httpx on connections of our own: its client, its URLs and its errors, without the engine that stands behind them.

httpcore, h11 and anyio are 3 MiB in each service, and several times the processor time of `http_connection`.
"""

import asyncio
import ssl

import httpx

from imsg_runtime.http_connection import NoAnswer, write_request
from imsg_runtime.http_pool import IDLE_S, HttpPool, NotConnected, Place

LONGEST_DIAL_S = 60.0

_PORTS = {"http": 80, "https": 443}


class ConnectionTransport(httpx.AsyncBaseTransport):
    """Carries the calls of one client."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        """Make one that verifies an https URL by what httpx trusts, read when the first is called."""
        self._pool = HttpPool(idle_s)
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call. Raises httpx' errors, as its own transport would."""
        url, limits = request.url, request.extensions.get("timeout", {})
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"{url.scheme}:// is not spoken", request=request)
        host = url.raw_host.decode("ascii")
        tls = self._context() if url.scheme == "https" else None
        place = Place(host, url.port or _PORTS[url.scheme], tls, host)
        try:
            sent = write_request(request.method, url.raw_path, request.headers.raw, await request.aread())
        except ValueError as error:
            raise httpx.LocalProtocolError(str(error), request=request) from error
        connect_s = limits.get("connect") or LONGEST_DIAL_S
        try:
            async with asyncio.timeout(limits.get("read")):
                answer = await self._pool.call(place, sent, connect_s, may_repeat=request.method == "GET")
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time", request=request) from error
        except NotConnected as error:
            raise httpx.ConnectError(str(error), request=request) from error
        except NoAnswer as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        return httpx.Response(answer.status_code, headers=list(answer.headers), content=answer.content, request=request)

    async def aclose(self) -> None:
        """Close what is idle."""
        self._pool.close()

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return self._tls
