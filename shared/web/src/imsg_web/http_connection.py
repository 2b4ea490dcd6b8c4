"""One outgoing HTTP/1.1 connection: a call is one write, and llhttp (httptools) parses the response.

httpx (httpcore, h11, anyio) takes several times as much processor time (docs/performance.md). The size of a response is
limited, and a connection in doubt is closed.
"""

import asyncio
import json
import ssl
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from functools import partial
from typing import Any, cast

import httptools

HEAD_BYTES = 64 * 1024
"""The longest head of a response, informational responses included, and the most framing of its body."""

INFORMATIONAL = range(100, 200)

ANY_ZLIB_FORMAT = zlib.MAX_WBITS | 32
"""`wbits` by which zlib accepts gzip and zlib headers (zlib.net/manual.html, inflateInit2)."""


class NoAnswer(Exception):  # noqa: N818  named for the outcome
    """The call was sent, and no complete, valid response came: the server may have processed it."""


class StaleConnection(NoAnswer):
    """The server closed a kept connection without a response: it has probably not processed the call."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response."""

    status_code: int
    headers: tuple[tuple[bytes, bytes], ...]
    """The headers in their order, with names in lower case."""
    content: bytes

    def find_header(self, name: bytes) -> bytes | None:
        """Return the first header of this lower-case name."""
        return next((value for known, value in self.headers if known == name), None)

    def json(self) -> Any:  # noqa: ANN401  any JSON
        """Decode the content as JSON. Raises ValueError."""
        return json.loads(self.content)

    @property
    def text(self) -> str:
        """The content, decoded by the charset of `content-type`, UTF-8 by default."""
        kind = Message()
        kind["content-type"] = (self.find_header(b"content-type") or b"").decode("latin-1")
        charset = kind.get_content_charset("utf-8")
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode(errors="replace")

    def decompress(self, max_bytes: int) -> "HttpAnswer":
        """Return the response with gzip and deflate undone. Raises NoAnswer if that fails or exceeds `max_bytes`."""
        coding = (self.find_header(b"content-encoding") or b"identity").decode("latin-1").strip().lower()
        if coding == "identity" or not self.content:
            return self
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise NoAnswer(f"its answer is packed as {coding[:20]}")
        decompressor = zlib.decompressobj(ANY_ZLIB_FORMAT)
        try:
            content = decompressor.decompress(self.content, max_bytes)
        except zlib.error as error:
            raise NoAnswer(f"its answer can't be unpacked: {error}") from error
        if not decompressor.eof:
            raise NoAnswer("its answer is too long" if decompressor.unconsumed_tail else "its packed answer is cut off")
        return HttpAnswer(self.status_code, self.headers, content)


@dataclass(frozen=True, slots=True)
class BodyBound:
    """The most bytes of a response's body: a longer one is cut if `is_cut`, else it raises NoAnswer."""

    octets: int
    is_cut: bool = False


class Connection(asyncio.Protocol):
    """An open connection with one call at a time."""

    def __init__(self, bound: BodyBound) -> None:
        self._bound = bound
        self._used_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._room = bound.octets
        self._octets = 0
        self._has_head = False
        self._expects_body = True
        self._is_clean = True

    @property
    def is_usable(self) -> bool:
        """Whether another call may be made: it is open, and the last response was complete."""
        return self._is_clean and self._answer is None and not self._is_closing()

    @property
    def idle_s(self) -> float:
        """How long ago its last call ended."""
        return asyncio.get_running_loop().time() - self._used_at

    async def call(self, request: bytes, *, expects_body: bool = True) -> HttpAnswer:
        """Send a request and return its complete response; the caller sets the timeout. Raises NoAnswer.

        On an error or a cancellation the connection is closed. Responses to HEAD and CONNECT have no body whatever
        their headers (RFC 9110, section 6.4.1): `expects_body` is False.
        """
        if self._transport is None or self._is_closing():
            raise StaleConnection("the connection was closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[HttpAnswer] = loop.create_future()
        self._answer = answer
        self._octets, self._has_head, self._expects_body = 0, False, expects_body
        self._transport.write(request)
        try:
            received = await answer
        except BaseException:
            self.close()
            raise
        finally:
            self._used_at = loop.time()
            self._answer = None
        if not expects_body:
            self._parser = httptools.HttpResponseParser(self)  # the old parser waits for a body
        if not self._is_clean:
            self.close()
        return received

    async def start_tls(self, tls: "Tls") -> None:
        """Start TLS on the connection, which is a tunnel through a proxy; close it on errors. Raises OSError."""
        if self._transport is None or self._is_closing():
            raise ConnectionResetError("the connection was closed")
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(self._transport, self, tls.context, server_hostname=tls.name)
        except BaseException:
            self.close()
            raise
        self._transport = cast("asyncio.Transport", transport)

    def close(self) -> None:
        """Close at once."""
        self._is_clean = False
        if self._transport is not None:
            self._transport.abort()

    # Callbacks of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name

    def data_received(self, data: bytes) -> None:
        """Parse data within the bounds; close the connection on data that belongs to no call."""
        if self._answer is None or self._answer.done():
            self.close()
            return
        self._octets += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(NoAnswer(f"its answer can't be read: {error}"))
            return
        if not self._answer.done():
            self._check_bounds()

    def eof_received(self) -> bool:
        """Return False: the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish a response without a length; fail the call without a head."""
        self._is_clean = False
        if exc is None and self._has_head and not self._is_framed():
            self._finish()
        error = str(exc) if exc is not None else "the connection was closed before a whole answer"
        self._fail(NoAnswer(error) if self._octets else StaleConnection(error))

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        """Begin a response or an informational one; a second response makes the connection unusable."""
        self._headers, self._body, self._room, self._has_head = [], [], self._bound.octets, False
        if self._answer is None or self._answer.done():
            self._is_clean = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; ignore trailers."""
        if not self._has_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """End the head, unless the response is informational."""
        self._has_head = self._parser.get_status_code() not in INFORMATIONAL
        if self._has_head and not self._expects_body:
            self._finish()

    def on_body(self, body: bytes) -> None:
        """Store a piece of the body, up to the bound."""
        if len(body) > self._room and not self._bound.is_cut:
            self._fail(NoAnswer("its answer is too long"))
            return
        self._body.append(body[: self._room])
        self._room -= len(self._body[-1])

    def on_message_complete(self) -> None:
        """Finish the call; ignore an informational response, and one that its head has finished."""
        if not self._has_head or not self._expects_body:
            return
        if not self._parser.should_keep_alive():
            self._is_clean = False
        self._finish()

    def _check_bounds(self) -> None:
        """Finish or fail the call when its head or body exceeds the bounds."""
        if not self._has_head:
            if self._octets > HEAD_BYTES:
                self._fail(NoAnswer("the head of its answer is too long"))
            return
        is_too_long = self._octets > HEAD_BYTES + self._bound.octets
        if self._bound.is_cut and (is_too_long or not self._room):
            self._is_clean = False  # the rest is not read
            self._finish()
        elif is_too_long:
            self._fail(NoAnswer("its answer is too long"))

    def _is_framed(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    def _finish(self) -> None:
        if self._answer is None or self._answer.done():
            self._is_clean = False
            return
        answer = HttpAnswer(self._parser.get_status_code(), tuple(self._headers), b"".join(self._body))
        self._answer.set_result(answer)

    def _fail(self, error: NoAnswer) -> None:
        self._is_clean = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    def _is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()


@dataclass(frozen=True, slots=True)
class Tls:
    """The SSL context of a connection, and the name that its certificate must have."""

    context: ssl.SSLContext
    name: str


async def connect(
    addresses: Sequence[str], port: int, tls: Tls | None, bound: BodyBound, timeout_s: float
) -> Connection:
    """Connect to the first of `addresses` that accepts; each gets an equal share of the remaining time.

    Raises OSError.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    failure = OSError("the name has no address")
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            async with asyncio.timeout((ends_at - loop.time()) / left):
                return await _dial(address, port, tls, bound)
        except TimeoutError:  # a subclass of OSError, without a text
            failure = OSError(f"no connection to {address} in time")
        except OSError as error:
            failure = error
    raise failure


async def _dial(address: str, port: int, tls: Tls | None, bound: BodyBound) -> Connection:
    context, name = (tls.context, tls.name) if tls is not None else (None, None)
    _, connection = await asyncio.get_running_loop().create_connection(
        partial(Connection, bound), address, port, ssl=context, server_hostname=name
    )
    return connection


def write_request(method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]], content: bytes | None) -> bytes:
    """Encode a request, head and body. Raises ValueError for a line end in a header."""
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    lines += [b"%b: %b" % header for header in headers]
    if any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines):
        raise ValueError("a header holds a line end")
    return b"\r\n".join((*lines, b"", content or b""))


def take_idle(idle: list[Connection], max_idle_s: float) -> Connection | None:
    """Remove and return the last used connection that is usable; close those idle for `max_idle_s`."""
    while idle:
        connection = idle.pop()
        if connection.is_usable and connection.idle_s < max_idle_s:
            return connection
        connection.close()
    return None
