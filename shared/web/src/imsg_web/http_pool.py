"""HTTP/1.1 calls over kept connections, for SMS providers and callbacks.

httpx, which makes all other calls, takes several times as much processor time (docs/performance.md).
"""

import asyncio
import base64
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from imsg_web import http_connection
from imsg_web.http_connection import BodyBound, Connection, HttpAnswer, NoAnswer, StaleConnection, Tls, take_idle

__all__ = ["BodyBound", "HttpAnswer", "HttpPool", "NoAnswer", "NotSent", "Proxy", "resolve"]

PORTS = {"http": 80, "https": 443}

MAX_ORIGINS = 256
"""The most hosts with idle connections: those called last."""

UNESCAPED = "/%:@!$&'()*+,;=~-._"
"""Characters that are not percent-encoded in a path or a query."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → the only addresses to connect to. Raises OSError."""

Origin = tuple[str, str, int]
"""Scheme, host, port."""


class NotSent(Exception):  # noqa: N818  named for the outcome
    """Nothing of the call was sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL."""

    origin: Origin
    authority: bytes
    """The header `host`."""
    path: bytes
    """The path and the query."""

    @classmethod
    def read(cls, url: str) -> "Target":
        """Parse a URL, without its user and password. Raises NotSent."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            host = host if ":" in host else host.encode("idna").decode()
        except ValueError as error:  # UnicodeError is one
            raise NotSent(f"the URL can't be read: {error}") from error
        if parts.scheme not in PORTS or not host:
            raise NotSent(f"a URL begins with https:// or http:// and a host, not with {url[:20]}")
        name = f"[{host}]" if ":" in host else host
        query = f"?{quote(parts.query, safe=UNESCAPED + '?')}" if parts.query else ""
        return cls(
            (parts.scheme, host, port or PORTS[parts.scheme]),
            (f"{name}:{port}" if port else name).encode("ascii"),
            f"{quote(parts.path or '/', safe=UNESCAPED)}{query}".encode("ascii"),
        )


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, with a tunnel for https URLs (CONNECT, RFC 9110, 9.3.6)."""

    target: Target
    authorization: str | None = None

    @classmethod
    def read(cls, url: str) -> "Proxy":
        """Parse a proxy's URL, `[http://][USER:PASSWORD@]HOST[:PORT]`. Raises NotSent."""
        url = url if "://" in url else f"http://{url}"
        try:
            target, parts = Target.read(url), urlsplit(url)
        except NotSent:  # it may quote the password
            raise NotSent("the proxy's URL is not http://[USER:PASSWORD@]HOST[:PORT]") from None
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        basic = f"Basic {base64.b64encode(login.encode()).decode()}" if parts.username else None
        return cls(target, basic)

    @property
    def headers(self) -> dict[str, str]:
        """The header `proxy-authorization`, if there is one."""
        return {} if self.authorization is None else {"proxy-authorization": self.authorization}


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return a host's addresses by the system's resolver. Raises OSError."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in infos]


class HttpPool:
    """Makes calls, each on an idle connection or a new one. Redirects are not followed.

    With `repeats_stale` a call is repeated if the server closed the kept connection without a response.
    """

    def __init__(
        self,
        bound: BodyBound,
        *,
        connect_timeout_s: float,
        answer_timeout_s: float,
        idle_s: float,
        max_connections: int,
        resolve: Resolve = resolve,
        find_proxy: Callable[[str, str], Proxy | None] = lambda scheme, host: None,  # noqa: ARG005
        context: ssl.SSLContext | None = None,
        repeats_stale: bool = False,
        hide: Callable[[bytes], bytes] = lambda content: content,
    ) -> None:
        """`bound` limits each response's body.

        `connect_timeout_s` limits the wait for one of `max_connections`, and again the look-up, the connection and its
        TLS. A connection idle for `idle_s` is not used again: servers should keep theirs longer. `find_proxy` returns
        the proxy of a scheme and a host. `hide` hides secrets of the calls in the bodies of responses.
        """
        self._bound = bound
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._idle_s = idle_s
        self._slots = asyncio.Semaphore(max_connections)
        self._resolve = resolve
        self._find_proxy = find_proxy
        self._context = context or ssl.create_default_context()
        self._context.set_alpn_protocols(["http/1.1"])
        self._repeats_stale = repeats_stale
        self._hide = hide
        self._idle: OrderedDict[Origin, list[Connection]] = OrderedDict()

    async def call(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None) -> HttpAnswer:
        """Make a call and return its response, decompressed unless the bound cuts bodies.

        Raises NotSent, NoAnswer, and other errors of `resolve` than OSError. On an error or a cancellation the
        connection is closed.
        """
        target = Target.read(url)
        proxy = self._find_proxy(target.origin[0], target.origin[1])
        request = _write_request(method, target, proxy, headers, content)
        expects_body = method != "HEAD"
        # Proxies close their connections without notice, and a call that met the close would be in doubt.
        kept_for = None if proxy is not None and target.origin[0] == "http" else target.origin
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise NotSent("all connections are in use") from error
        try:
            idle = take_idle(self._idle.get(target.origin, []), self._idle_s)
            if idle is not None:
                try:
                    return await self._call_on(kept_for, idle, request, expects_body=expects_body)
                except StaleConnection:
                    if not self._repeats_stale:
                        raise
            connection = await self._connect(target, proxy)
            return await self._call_on(kept_for, connection, request, expects_body=expects_body)
        finally:
            self._slots.release()

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    async def _call_on(
        self, kept_for: Origin | None, connection: Connection, request: bytes, *, expects_body: bool
    ) -> HttpAnswer:
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                answer = await connection.call(request, expects_body=expects_body)
            if expects_body and not self._bound.is_cut:
                answer = answer.decompress(self._bound.octets)
        except TimeoutError as error:
            raise NoAnswer(f"it did not answer within {self._answer_timeout_s:g} s") from error
        except NoAnswer:
            connection.close()
            raise
        if kept_for is None:
            connection.close()
        else:
            self._store(kept_for, connection)
        return replace(answer, content=self._hide(answer.content))

    def _store(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection for the next call; beyond MAX_ORIGINS close those of the origin called longest ago."""
        if not connection.is_usable:
            return
        self._idle.setdefault(origin, []).append(connection)
        self._idle.move_to_end(origin)
        if len(self._idle) > MAX_ORIGINS:
            _, oldest = self._idle.popitem(last=False)
            for item in oldest:
                item.close()

    async def _connect(self, target: Target, proxy: Proxy | None) -> Connection:
        """Connect to a target, directly or through its proxy. Raises NotSent."""
        scheme, host, port = target.origin if proxy is None else proxy.target.origin
        tls = Tls(self._context, host) if scheme == "https" else None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                addresses = await (self._resolve if proxy is None else resolve)(host, port)
                connection = await http_connection.connect(addresses, port, tls, self._bound, self._connect_timeout_s)
                if proxy is not None and target.origin[0] == "https":
                    await self._open_tunnel(connection, target, proxy)
                return connection
        except OSError as error:  # TimeoutError is one
            raise NotSent(str(error) or "no connection in time") from error

    async def _open_tunnel(self, connection: Connection, target: Target, proxy: Proxy) -> None:
        """Open a tunnel to a target through a proxy, and start TLS in it. Raises OSError."""
        _, host, port = target.origin
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        request = http_connection.write_request(
            "CONNECT", authority.encode("ascii"), _encode({"host": authority, **proxy.headers}), None
        )
        try:
            answer = await connection.call(request, expects_body=False)
        except NoAnswer as error:
            raise OSError(f"the proxy did not answer: {error}") from error
        if not 200 <= answer.status_code < 300:  # noqa: PLR2004  HTTP's successes
            connection.close()
            raise OSError(f"the proxy answered {answer.status_code}")
        await connection.start_tls(Tls(self._context, host))


def _write_request(
    method: str, target: Target, proxy: Proxy | None, headers: Mapping[str, str], content: bytes | None
) -> bytes:
    """Encode a request. Raises NotSent for a header with characters that HTTP does not allow."""
    scheme, path = target.origin[0], target.path
    written = {"host": target.authority.decode("ascii"), "user-agent": "iMSG"}
    if content is not None:
        written["content-length"] = str(len(content))
    if proxy is not None and scheme == "http":
        path = b"http://%b%b" % (target.authority, path)
        written |= {"connection": "close", **proxy.headers}
    written |= {name.lower(): value for name, value in headers.items()}
    try:
        return http_connection.write_request(method, path, _encode(written), content)
    except UnicodeEncodeError as error:
        raise NotSent(f"a header holds {error.object[error.start]!r}, which HTTP has no place for") from error
    except ValueError as error:
        raise NotSent(str(error)) from error


def _encode(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Encode headers in Latin-1. Raises UnicodeEncodeError."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
