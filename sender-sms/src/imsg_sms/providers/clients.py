"""HTTP to a provider: a connection for each call in flight, and the one place where errors become what they mean."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from imsg_sms.providers.http_request import NotSent, write_request
from imsg_web.http_connection import BodyBound, Connection, HttpAnswer, NoAnswer, Tls, connect, take_idle

__all__ = ["Clients", "HttpAnswer", "NoAnswer", "NotSent", "open_clients"]

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 10.0
"""Aliyun asks for at least a second; a call for 1,000 numbers takes longer."""

IDLE_S = 3.0
"""Shorter than servers keep a connection, or a call meets one that is just being closed, and nobody knows its fate."""

MOST_ANSWERED = BodyBound(4 * 1024 * 1024)
"""A thousand results have some 200 KB."""

KNOWN = 64
"""URLs before their query, and hosts, that are remembered: a provider has one, or few."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a URL leads."""

    scheme: str
    host: str
    port: int
    authority: bytes
    """As the header `host` says it."""
    path: bytes

    @property
    def is_plain(self) -> bool:
        """Whether the port is the scheme's own."""
        return self.port == _PORTS[self.scheme]


@dataclass(frozen=True, slots=True)
class _Call:
    """One call."""

    method: str
    target: _Target
    headers: Mapping[str, str]
    content: bytes | None


class Clients:
    """Calls to one provider, over as many connections as there are calls at once: the worker bounds their number.

    A call takes a connection that is idle, or a new one. Through a proxy httpcore carries it, a connection for each.
    """

    def __init__(self, answer_timeout_s: float) -> None:
        self._ssl = httpx.create_ssl_context()
        self._ssl.set_alpn_protocols(["http/1.1"])
        self._answer_timeout_s = answer_timeout_s
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}

    async def call(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None) -> HttpAnswer:
        """Make one call, never repeated and never redirected here. Raises NotSent, NoAnswer."""
        target = _read(url)
        request = write_request(method, target.authority, target.path, headers, content)
        if (proxy := _proxy(target.scheme, target.host)) is not None:
            return await self._call_through(proxy, _Call(method, target, headers, content))
        idle = self._idle.setdefault((target.scheme, target.host, target.port), [])
        connection = take_idle(idle, IDLE_S) or await self._connect(target)
        answer = await self._ask(connection, request)
        if connection.is_usable:
            idle.append(connection)
        return answer

    async def close(self) -> None:
        """Close every connection."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def _connect(self, target: _Target) -> Connection:
        """Connect to the first address of a host that answers. Raises NotSent."""
        tls = Tls(self._ssl, target.host) if target.scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
                addresses = [str(one[4][0]) for one in found]
                return await connect(addresses, target.port, tls, MOST_ANSWERED, CONNECT_TIMEOUT_S)
        except OSError as error:
            raise NotSent(str(error) or type(error).__name__) from error

    async def _ask(self, connection: Connection, request: bytes) -> HttpAnswer:
        """Send a request and read its whole answer; without one the connection is closed. Raises NoAnswer."""
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                answer = await connection.call(request)
            return answer.decode()
        except TimeoutError as error:
            raise NoAnswer(f"it did not answer within {self._answer_timeout_s:g} s") from error
        except NoAnswer:
            connection.close()
            raise

    async def _call_through(self, proxy: str, call: _Call) -> HttpAnswer:
        answering = dict.fromkeys(("read", "write"), self._answer_timeout_s)
        target, port = call.target, None if call.target.is_plain else call.target.port
        given = {"user-agent": "iMSG"} | {name.lower(): value for name, value in call.headers.items()}
        try:
            async with httpcore.AsyncConnectionPool(ssl_context=self._ssl, proxy=_open_proxy(proxy)) as pool:
                answer = await pool.request(
                    call.method,
                    httpcore.URL(scheme=target.scheme, host=target.host, port=port, target=target.path),
                    headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in given.items()],
                    content=call.content,
                    extensions={"timeout": {"connect": CONNECT_TIMEOUT_S, **answering}},
                )
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError) as error:
            raise NotSent(str(error) or type(error).__name__) from error
        except (*_LOST, OSError) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        said = tuple((name.lower(), value) for name, value in answer.headers)
        return HttpAnswer(answer.status, said, answer.content).decode()


_LOST = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


@asynccontextmanager
async def open_clients(answer_timeout_s: float = ANSWER_TIMEOUT_S) -> AsyncIterator[Clients]:
    """Open a provider's connections for as long as the context lasts; nothing is connected before the first call."""
    clients = Clients(answer_timeout_s)
    try:
        yield clients
    finally:
        await clients.close()


def _read(url: str) -> _Target:
    """Read a URL. Raises NotSent."""
    before, mark, query = url.partition("?")
    if not _PLAIN_QUERY.fullmatch(query):
        return _parse(url)
    target = _parse(before)
    if not mark:
        return target
    return _Target(target.scheme, target.host, target.port, target.authority, target.path + f"?{query}".encode())


_PLAIN_QUERY = re.compile(r"[A-Za-z0-9%&=+._~-]*")
"""A query that is encoded already: nothing is to be read in it."""


@lru_cache(KNOWN)
def _parse(url: str) -> _Target:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise NotSent(str(error)) from error
    if found.scheme not in _PORTS:
        raise NotSent(f"{url.partition(':')[0][:20]} is not spoken: http or https")
    host = found.raw_host.decode("ascii")
    return _Target(found.scheme, host, found.port or _PORTS[found.scheme], found.netloc, found.raw_path)


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
