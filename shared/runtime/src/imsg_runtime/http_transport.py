"""httpx on connections of our own: its client, its URLs and its errors, without the engine that stands behind them.

httpcore, h11 and anyio are 3 MiB in each service, and several times the processor time of `http_connection`.
"""

import asyncio
import socket
import ssl

import httpx

from imsg_runtime.http_connection import (
    BodyBound,
    Connection,
    HttpAnswer,
    NoAnswer,
    Stale,
    Tls,
    connect,
    take_idle,
    write_request,
)

IDLE_S = 2.0
"""How long a connection is kept for the next call: shorter than a service that is asked to end keeps its port open, or
a call would meet a connection that is just being closed."""

MOST_ANSWERED = BodyBound(32 * 1024 * 1024)
"""An attachment has 10 MiB, a page of 500 messages far less."""

DIALS = 2
"""How often a connection is tried: a service that is being replaced is there a moment later."""

_PORTS = {"http": 80, "https": 443}

Place = tuple[str, str, int]


class ConnectionTransport(httpx.AsyncBaseTransport):
    """Makes calls by HTTP/1.1, as many at once as are asked for; a connection in doubt is not used again."""

    def __init__(self, tls: ssl.SSLContext | None = None, idle_s: float = IDLE_S) -> None:
        """Without a `tls` of its own, an https URL is verified by what httpx trusts, read when the first is called."""
        self._tls = tls
        self._idle_s = idle_s
        self._idle: dict[Place, list[Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call. Raises httpx' errors, as its own transport would."""
        url, limits = request.url, request.extensions.get("timeout", {})
        if url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"{url.scheme}:// is not spoken", request=request)
        place = (url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])
        try:
            sent = write_request(request.method, url.raw_path, request.headers.raw, await request.aread())
        except ValueError as error:
            raise httpx.LocalProtocolError(str(error), request=request) from error
        try:
            async with asyncio.timeout(limits.get("read")):
                answer = await self._call(place, sent, request)
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time", request=request) from error
        except NoAnswer as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        return httpx.Response(answer.status_code, headers=list(answer.headers), content=answer.content, request=request)

    async def aclose(self) -> None:
        """Close what is idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def _call(self, place: Place, sent: bytes, request: httpx.Request) -> HttpAnswer:
        idle = self._idle.setdefault(place, [])
        kept = take_idle(idle, self._idle_s)
        connection = kept or await self._dial(place, request)
        try:
            answer = await connection.call(sent)
        except Stale:
            if kept is None or request.method != "GET":
                raise
            connection = await self._dial(place, request)  # it was closed while it was idle
            answer = await connection.call(sent)
        if connection.is_usable:
            idle.append(connection)
        return answer

    async def _dial(self, place: Place, request: httpx.Request) -> Connection:
        """Connect. Raises httpx.ConnectError, ConnectTimeout."""
        scheme, host, port = place
        within_s = request.extensions.get("timeout", {}).get("connect") or 60.0
        name = str(request.extensions.get("sni_hostname", host))
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        try:
            async with asyncio.timeout(within_s):
                for _ in range(DIALS):
                    try:
                        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                        tls = Tls(self._context(), name) if scheme == "https" else None
                        return await connect([str(one[4][0]) for one in found], port, tls, MOST_ANSWERED, within_s)
                    except OSError as error:
                        failure = error
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection to {host} in time", request=request) from error
        raise httpx.ConnectError(str(failure), request=request) from failure

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return self._tls
