"""HTTP to a provider: a connection for each call in flight, and the one place where errors become what they mean."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 10.0
"""Aliyun asks for at least a second; a call for 1,000 numbers takes longer."""

IDLE_S = 3.0
"""Shorter than servers keep a connection, or a call meets one that is just being closed, and nobody knows its fate."""

KNOWN = 64
"""URLs before their query, and hosts, that are remembered: a provider has one, or few."""

_OURS = ((b"user-agent", b"iMSG"),)
_SCHEMES = (b"http", b"https")


class NotSent(Exception):  # noqa: N818  named for the outcome
    """The provider was not reached: it certainly has nothing."""


class NoAnswer(Exception):  # noqa: N818
    """The call was sent, and no whole answer came: the provider may have it."""


class Clients:
    """Calls to one provider, over as many connections as there are calls at once: the worker bounds their number.

    A call takes a connection that is idle, or a new one. httpx' client and its pool are left out: looking through one
    pool of many for every call, and a client's cookies, redirects and authentication, took more than the call (ADR 13).
    """

    def __init__(self, answer_timeout_s: float) -> None:
        self._ssl = httpx.create_ssl_context()
        self._idle: dict[str, list[httpcore.AsyncConnectionInterface]] = {}
        answering = dict.fromkeys(("read", "write"), answer_timeout_s)
        self._extensions = {"timeout": {"connect": CONNECT_TIMEOUT_S, **answering}}

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> httpx.Response:
        """Make one call, never repeated and never redirected here. Raises NotSent, NoAnswer."""
        try:
            target = _read(url)
        except httpx.InvalidURL as error:
            raise NotSent(str(error)) from error
        if target.scheme not in _SCHEMES:
            raise NotSent(f"{url.partition(':')[0][:20]} is not spoken: http or https")
        connection = await self._connection(target.origin)
        try:
            answer = await connection.request(
                method,
                target,
                headers=[*_OURS, *((name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items())],
                content=content,
                extensions=self._extensions,
            )
            return httpx.Response(answer.status, headers=answer.headers, content=answer.content)
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError) as error:
            raise NotSent(str(error) or type(error).__name__) from error
        except (*_LOST, httpx.DecodingError, OSError) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        finally:
            if connection.is_idle():
                self._idle.setdefault(str(target.origin), []).append(connection)
            else:
                await connection.aclose()

    async def close(self) -> None:
        """Close every connection."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()

    async def _connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        idle = self._idle.get(str(origin), [])
        while idle:
            connection = idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        through = _proxy(origin.scheme.decode(), origin.host.decode())
        return httpcore.AsyncConnectionPool(
            ssl_context=self._ssl,
            proxy=None if through is None else _open_proxy(through),
            keepalive_expiry=IDLE_S,
        ).create_connection(origin)


_LOST = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


@asynccontextmanager
async def open_clients(answer_timeout_s: float = ANSWER_TIMEOUT_S) -> AsyncIterator[Clients]:
    """Open a provider's connections for as long as the context lasts; nothing is connected before the first call."""
    clients = Clients(answer_timeout_s)
    try:
        yield clients
    finally:
        await clients.close()


def _read(url: str) -> httpcore.URL:
    """Read a URL. Raises httpx.InvalidURL."""
    before, mark, query = url.partition("?")
    if not _PLAIN_QUERY.fullmatch(query):
        before, mark, query = url, "", ""
    target = _parse(before)
    if not mark:
        return target
    return httpcore.URL(
        scheme=target.scheme, host=target.host, port=target.port, target=target.target + f"?{query}".encode()
    )


_PLAIN_QUERY = re.compile(r"[A-Za-z0-9%&=+._~-]*")
"""A query that is encoded already: nothing is to be read in it."""


@lru_cache(KNOWN)
def _parse(url: str) -> httpcore.URL:
    found = httpx.URL(url)
    return httpcore.URL(scheme=found.raw_scheme, host=found.raw_host, port=found.port, target=found.raw_path)


def _open_proxy(proxy: str) -> httpcore.Proxy:
    """Read a proxy's URL, its user and password too; a host alone is spoken to by HTTP."""
    given = httpx.Proxy(proxy if "://" in proxy else f"http://{proxy}")
    return httpcore.Proxy(str(given.url), auth=given.raw_auth)


@lru_cache(KNOWN)
def _proxy(scheme: str, host: str) -> str | None:
    """Find the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY` and so on), as curl and httpx go by it."""
    proxies = getproxies()
    through = proxies.get(scheme, proxies.get("all"))
    return None if through is None or proxy_bypass(host) else through
